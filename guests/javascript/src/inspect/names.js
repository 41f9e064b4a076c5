// Words of inspected values: primitives, functions, types, keys.

const ESCAPES = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\" };

/** A value that is no object. */
export function primitive(context, value, isKey) {
  switch (typeof value) {
    case "string":
      return string(context, value, isKey);
    case "number":
      return Object.is(value, -0) ? "-0" : `${value}`;
    case "bigint":
      return `${value}n`;
    case "symbol":
      return symbol(value);
    default:
      return `${value}`;
  }
}

const symbol = (value) => String(value).replace(/[\n\r]/g, (char) => ESCAPES[char]);

function string(context, value, isKey) {
  const most = context.maxStringLength;
  const cut = value.length > most ? value.length - most : 0;
  const text = cut > 0 ? value.slice(0, most) : value;
  const rest = cut > 0 ? `... ${cut} more character${cut > 1 ? "s" : ""}` : "";
  const lines = text.split(/(?<=\n)/);
  const isLong = !isKey && context.compact !== true && text.length > 16 &&
    text.length > context.breakLength - context.indentation - 4 && lines.length > 1;
  if (!isLong) return quoted(text) + rest;
  return lines.map(quoted).join(` +\n${" ".repeat(context.indentation + 2)}`) + rest;
}

/** In single quotes, or in others if it holds those. */
export function quoted(text) {
  const quote = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !/[`]|\$\{/.test(text) ? "`" : "'";
  let out = "";
  for (const char of text) {
    const code = char.codePointAt(0);
    if (char === quote) out += `\\${char}`;
    else if (ESCAPES[char] !== undefined) out += ESCAPES[char];
    else if (code < 32 || (code > 126 && code < 160)) {
      out += `\\x${code.toString(16).toUpperCase().padStart(2, "0")}`;
    } else if (code >= 0xd800 && code <= 0xdfff) out += `\\u${code.toString(16).toUpperCase()}`;
    else out += char;
  }
  return quote + out + quote;
}

/** A key as it is written before a colon. */
export function propertyName(key) {
  if (typeof key === "symbol") return `[${symbol(key)}]`;
  return /^[a-zA-Z_][a-zA-Z_0-9]*$/.test(key) ? key : quoted(key);
}

/** The name of the class that made an object; empty for one without a prototype. */
export function typeName(value) {
  let object = value;
  while (object !== null) {
    let found;
    try {
      found = Object.getOwnPropertyDescriptor(object, "constructor");
      object = Object.getPrototypeOf(object);
    } catch {
      return "Object";
    }
    const made = found?.value;
    if (typeof made === "function" && made.name !== "" && isInstance(value, made)) return made.name;
  }
  return "";
}

function isInstance(value, kind) {
  try {
    return value instanceof kind;
  } catch {
    return false;
  }
}

/** `[Function: name]`, `[class X extends Y]`. */
export function functionText(value, type = typeName(value)) {
  const source = Function.prototype.toString.call(value);
  const name = typeof value.name === "string" ? value.name : "";
  if (/^class\b/.test(source)) {
    const above = Object.getPrototypeOf(value);
    const from = typeof above === "function" && above.name ? ` extends ${above.name}` : "";
    return `[class ${name || "(anonymous)"}${from}]`;
  }
  const kind = type === "" ? "Function (null prototype)" : KINDS.has(type) ? type : "Function";
  const own = type === "" || KINDS.has(type) || type === "Function" ? "" : ` ${type}`;
  return `[${kind}${name === "" ? " (anonymous)" : `: ${name}`}]${own}`;
}

const KINDS = new Set(["AsyncFunction", "GeneratorFunction", "AsyncGeneratorFunction"]);
