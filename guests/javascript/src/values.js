// Values that cross the wall, as JSON without silent changes.
//
// Written out by hand, because JSON.stringify changes what it cannot say: NaN becomes
// null, a Map an empty object, a BigInt an error without a place.

/** A value that JSON cannot hold exactly. */
export class NotExact extends TypeError {
  constructor(message) {
    super(message);
    this.name = "NotExact";
  }
}

const DEEPEST = 100;
const { stringify, parse } = JSON;
const getPrototypeOf = Object.getPrototypeOf;
const keysOf = Object.keys;
const isArray = Array.isArray;

/** JSON text of a value; `what` names it in the error. */
export function encode(value, what = "the result") {
  return value === undefined ? "null" : text(value, what, DEEPEST);
}

/** The JSON text of a list of arguments, for a call. */
export function encodeArguments(given, what) {
  let length = given.length;
  // What is left out and what is undefined are the same to a function.
  while (length > 0 && given[length - 1] === undefined) length--;
  const list = new Array(length);
  for (let index = 0; index < length; index++) {
    list[index] = text(given[index], `${what}: argument ${index + 1}`, DEEPEST - 1);
  }
  return `{"args":[${list.join(",")}],"kwargs":{}}`;
}

/** The value of a JSON text. Integers that a number cannot hold become BigInts. */
export function decode(json) {
  return json.length > 15 && LONG.test(json) ? parse(json, exact) : parse(json);
}

/** Digits that may be more than a number holds. */
const LONG = /\d{16}/;

function exact(key, value, { source } = {}) {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/** Whether JSON holds the value as it is: decoded again, it is equal and of the same kind. */
export function isJson(value, depth = DEEPEST) {
  switch (typeof value) {
    case "string":
      return value.isWellFormed();
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth === 0) return false;
  if (isArray(value)) return value.every((item) => isJson(item, depth - 1));
  const prototype = getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  return keysOf(value).every((key) => key.isWellFormed() && isJson(value[key], depth - 1));
}

function text(value, where, depth) {
  switch (typeof value) {
    case "string":
      return quoted(value, where);
    case "number":
      return number(value, where);
    case "boolean":
      return value ? "true" : "false";
    case "bigint":
      return `${value}`;
    case "object":
      return value === null ? "null" : object(value, where, depth);
    case "undefined":
      throw new NotExact(`${where} is undefined, which JSON has no word for: use null`);
    default:
      throw new NotExact(`${where} is a ${typeof value}, which JSON cannot hold`);
  }
}

function quoted(value, where) {
  if (!value.isWellFormed()) {
    throw new NotExact(
      `${where} holds half a surrogate pair, which no text can: use value.toWellFormed()`,
    );
  }
  return stringify(value);
}

function number(value, where) {
  if (!Number.isFinite(value)) {
    throw new NotExact(`${where} is ${value}, which JSON has no word for: use null or text`);
  }
  return Object.is(value, -0) ? "-0" : `${value}`;
}

function object(value, where, depth) {
  if (depth === 0) {
    throw new NotExact(`${where} is nested more than ${DEEPEST} deep, or holds itself`);
  }
  if (isArray(value)) {
    const items = new Array(value.length);
    for (let index = 0; index < value.length; index++) {
      items[index] = text(value[index], `${where}[${index}]`, depth - 1);
    }
    return `[${items.join(",")}]`;
  }
  refuse(value, where);
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new NotExact(`${where} is a date that is no date`);
    return stringify(value.toISOString());
  }
  if (typeof value.toJSON === "function") {
    const said = value.toJSON("");
    return said === undefined ? "null" : text(said, where, depth - 1);
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return text(value.valueOf(), where, depth - 1);
  }
  const pairs = [];
  for (const key of keysOf(value)) {
    const item = value[key];
    // A property that is undefined is one that is not there.
    if (item === undefined) continue;
    pairs.push(`${quoted(key, where)}:${text(item, `${where}.${key}`, depth - 1)}`);
  }
  return `{${pairs.join(",")}}`;
}

/** What would become something else without a word. */
function refuse(value, where) {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    throw new NotExact(
      `${where} is bytes, which JSON cannot hold: use Buffer.from(value).toString("base64")`,
    );
  }
  const prototype = getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return;
  for (const [kind, advice] of (refused ??= kinds())) {
    if (value instanceof kind) {
      throw new NotExact(`${where} is a ${kind.name}, which JSON cannot hold${advice}`);
    }
  }
}

let refused;

/** Looked up when the first is needed: to name them all makes Node load what it has of the web. */
const kinds = () => [
  [Map, ": use Object.fromEntries(value)"],
  [Set, ": use [...value]"],
  [Promise, ": await it"],
  [Error, ": use String(value)"],
  [RegExp, ": use value.source"],
  [WeakMap, ""],
  [WeakSet, ""],
  [WeakRef, ""],
  [Blob, ": use await value.text()"],
  [Response, ": use await value.json() or value.text()"],
];
