export const inspect = (value) => typeof value === "string" ? `'${value}'` : String(value);
export const format = (...given) => given.map((g) => typeof g === "string" ? g : inspect(g)).join(" ");
