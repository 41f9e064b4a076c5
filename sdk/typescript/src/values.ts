/**
 * Arguments, as JSON without silent changes: what JSON would drop or bend is refused with its
 * place, as inside of a sandbox.
 */

const DEEPEST = 100;

/** JSON text of a value; `where` names it in the error. */
export function encode(value: unknown, where: string): string {
  return text(value, where, DEEPEST);
}

function text(value: unknown, where: string, depth: number): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value);
    case "number":
      if (!Number.isFinite(value)) {
        throw new TypeError(`${where} is ${value}, which JSON has no word for: use null or text`);
      }
      return Object.is(value, -0) ? "-0" : `${value}`;
    case "boolean":
    case "bigint":
      return `${value}`;
    case "object":
      return value === null ? "null" : object(value, where, depth);
    case "undefined":
      throw new TypeError(`${where} is undefined, which JSON has no word for: use null`);
    default:
      throw new TypeError(`${where} is a ${typeof value}, which JSON cannot hold`);
  }
}

function object(value: object, where: string, depth: number): string {
  if (depth === 0) {
    throw new TypeError(`${where} is nested more than ${DEEPEST} deep, or holds itself`);
  }
  if (Array.isArray(value)) {
    // Not map(), which leaves holes out.
    const items = Array.from(value, (item, index) => text(item, `${where}[${index}]`, depth - 1));
    return `[${items.join(",")}]`;
  }
  refuse(value, where);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    const said: unknown = value.toJSON("");
    return said === undefined ? "null" : text(said, where, depth - 1);
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return text(value.valueOf(), where, depth - 1);
  }
  const pairs: string[] = [];
  for (const [key, item] of Object.entries(value)) {
    // A property that is undefined is one that is not there.
    if (item === undefined) continue;
    pairs.push(`${JSON.stringify(key)}:${text(item, `${where}.${key}`, depth - 1)}`);
  }
  return `{${pairs.join(",")}}`;
}

function refuse(value: object, where: string): void {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    const advice = 'use Buffer.from(value).toString("base64")';
    throw new TypeError(`${where} is bytes, which JSON cannot hold: ${advice}`);
  }
  for (const [kind, advice] of REFUSED) {
    if (value instanceof kind) {
      throw new TypeError(`${where} is a ${kind.name}, which JSON cannot hold: ${advice}`);
    }
  }
}

const REFUSED: [new (...args: never[]) => object, string][] = [
  [Map, "use Object.fromEntries(value)"],
  [Set, "use [...value]"],
  [Promise, "await it"],
  [Error, "use String(value)"],
  [RegExp, "use value.source"],
];

/** A field of a request. */
export function field(name: string, value: unknown): string {
  return `"${name}":${encode(value, name)}`;
}

/** Text can be iterated, too, and is never what is meant. */
export function listed<T>(values: readonly T[], name: string): readonly T[] {
  if (!Array.isArray(values)) throw new TypeError(`${name} is a list: write ${name}: […]`);
  return values;
}

/** The value of a JSON text. Integers that a number cannot hold become BigInts, if it can be told. */
export function decode(json: string): unknown {
  return LONG.test(json) ? JSON.parse(json, exact) : JSON.parse(json);
}

/** Digits that may be more than a number holds. */
const LONG = /\d{16}/;

function exact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && /^-?\d+$/.test(source) ? BigInt(source) : value;
}
