// `node:querystring`.

/** Text as a part of a query: what encodeURIComponent leaves, and no lone half of a pair. */
export const escape = (text) => encodeURIComponent(String(text).toWellFormed());

/** Decodes, and leaves what cannot be decoded as it is. */
export function unescape(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function plain(value) {
  if (typeof value === "number") return Number.isFinite(value) ? `${value}` : "";
  return ["string", "boolean", "bigint"].includes(typeof value) ? `${value}` : "";
}

/** A query of the properties of an object. */
export function stringify(object, separator = "&", equals = "=", { encodeURIComponent: encode = escape } = {}) {
  if (typeof object !== "object" || object === null) return "";
  const pairs = Object.entries(object).flatMap(([key, value]) =>
    (Array.isArray(value) ? value : [value]).map((item) => `${encode(key)}${equals}${encode(plain(item))}`));
  return pairs.join(separator);
}

/** The object of a query; what comes more than once is a list. */
export function parse(text, separator = "&", equals = "=", { maxKeys = 1000, decodeURIComponent: decode = unescape } = {}) {
  const found = Object.create(null);
  if (typeof text !== "string" || text === "") return found;
  const parts = text.split(separator).filter((part) => part !== "");
  for (const part of maxKeys > 0 ? parts.slice(0, maxKeys) : parts) {
    const at = part.indexOf(equals);
    const [key, value] = (at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + equals.length)])
      .map((word) => decode(word.replaceAll("+", " ")));
    if (!(key in found)) found[key] = value;
    else if (Array.isArray(found[key])) found[key].push(value);
    else found[key] = [found[key], value];
  }
  return found;
}

export default { escape, unescape, stringify, parse, encode: stringify, decode: parse };
