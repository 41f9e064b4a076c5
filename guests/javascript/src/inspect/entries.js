// What an inspected object shows: its base, its entries, and the keys beside them.

import { tagOf } from "../types.js";
import { functionText, quoted } from "./names.js";

/** `base` stands before the braces; `entries` yields what is no property. */
export function entriesOf(context, value, name) {
  const keys = keysOf(context, value);
  const none = () => [];
  const plain = { base: "", prefix: "", open: "{", close: "}", keys, entries: none, isList: false };
  const bare = (base) => ({ ...plain, base, isWhole: keys.length === 0 });
  const type = tagOf(value);
  const named = (word, size) => {
    const count = size === undefined ? "" : `(${size})`;
    return `${label(name, word)}${count} ${SHOWN.has(word) && name !== "" && name !== word ? `[${word}] ` : ""}`;
  };

  if (Array.isArray(value)) {
    const prefix = name === "Array" ? "" : named("Array", value.length);
    const rest = keys.filter((key) => typeof key === "symbol" || !isIndex(key));
    return list(context, value, { ...plain, prefix, keys: rest }, holes);
  }
  if (type === "Set" || type === "Map") {
    const size = Reflect.get(type === "Set" ? Set.prototype : Map.prototype, "size", value);
    const prefix = named(type, size);
    const entries = type === "Set"
      ? function* (write) {
        for (const item of Set.prototype.values.call(value)) yield write(item);
      }
      : function* (_, pair) {
        for (const [key, item] of Map.prototype.entries.call(value)) yield pair(key, item);
      };
    if (size === 0 && keys.length === 0) return { ...plain, base: `${prefix}{}`, isWhole: true };
    return { ...plain, prefix, entries };
  }
  if (ArrayBuffer.isView(value) && type !== "DataView") {
    const rest = keys.filter((key) => typeof key === "symbol" || !isIndex(key));
    return list(context, value, { ...plain, prefix: named(type, value.length), keys: rest }, items);
  }
  if (type === "ArrayBuffer") return buffer(value, plain, named(type));
  if (typeof value === "function") return bare(functionText(value, name));
  if (type === "RegExp") return bare(withName(RegExp.prototype.toString.call(value), name, "RegExp"));
  if (type === "Date") {
    const time = Date.prototype.getTime.call(value);
    return bare(withName(Number.isNaN(time) ? "Invalid Date" : new Date(time).toISOString(), name, "Date"));
  }
  if (isError(value)) return error(context, value, name, plain);
  if (BOXED.has(type) && typeof value.valueOf?.() !== "object") {
    const inner = value.valueOf();
    const shown = typeof inner === "string" ? quoted(inner) : typeof inner === "bigint" ? `${inner}n` : String(inner);
    const rest = keys.filter((key) => typeof key === "symbol" || !isIndex(key) || type !== "String");
    return { ...plain, base: `[${type}: ${shown}]`, keys: rest, isWhole: rest.length === 0 };
  }
  if (type === "Promise") return { ...plain, prefix: named(type), entries: () => ["<pending or settled>"] };
  if (type === "WeakMap" || type === "WeakSet") return { ...plain, prefix: named(type), entries: () => ["<items unknown>"] };
  const tag = stringTag(value, name);
  const prefix = name === "Object" && tag === "" ? "" : `${name === "" ? "[Object: null prototype]" : name}${tag} `;
  if (keys.length === 0) return { ...plain, base: `${prefix}{}`, isWhole: true };
  return { ...plain, prefix };
}

/** Types that are told beside the name of a class that extends them. */
const SHOWN = new Set(["Map", "Set", "Promise", "WeakMap", "WeakSet", "ArrayBuffer"]);
const BOXED = new Set(["Number", "String", "Boolean", "BigInt", "Symbol"]);
const isIndex = (key) => /^(0|[1-9]\d*)$/.test(key);
const isError = (value) => value instanceof Error || tagOf(value) === "Error";
const label = (name, word) => (name === "" ? `[${word}: null prototype]` : name === word ? word : name);
const withName = (text, name, word) => (name === word || name === "" ? text : `${name} ${text}`);

function keysOf(context, value) {
  let keys;
  try {
    keys = context.showHidden ? Reflect.ownKeys(value).filter((key) => typeof key === "string") : Object.keys(value);
    if (context.showHidden && (Array.isArray(value) || typeof value === "function" || value instanceof Error)) {
      keys = keys.filter((key) => !["length", "name", "prototype", "stack", "message"].includes(key) || Object.prototype.propertyIsEnumerable.call(value, key));
    }
  } catch {
    keys = [];
  }
  const symbols = Object.getOwnPropertySymbols(value);
  return [...keys, ...symbols.filter((key) => Object.prototype.propertyIsEnumerable.call(value, key))];
}

function stringTag(value, name) {
  let tag;
  try {
    tag = value[Symbol.toStringTag];
  } catch {
    return "";
  }
  return typeof tag === "string" && tag !== "" && tag !== name ? ` [${tag}]` : "";
}

function list(context, value, described, each) {
  const { prefix, keys } = described;
  if (value.length === 0 && keys.length === 0) return { ...described, base: `${prefix}[]`, isWhole: true };
  const entries = (write) => each(value, Math.max(0, context.maxArrayLength), write);
  return { ...described, open: "[", close: "]", entries, isList: true };
}

const more = (count) => `... ${count} more item${count > 1 ? "s" : ""}`;

function* items(value, most, write) {
  const length = Math.min(value.length, most);
  for (let index = 0; index < length; index++) yield write(value[index]);
  if (value.length > length) yield more(value.length - length);
}

function* holes(value, most, write) {
  let shown = 0;
  let index = 0;
  while (index < value.length && shown < most) {
    if (Object.hasOwn(value, index)) {
      yield write(value[index++]);
    } else {
      const start = index;
      while (index < value.length && !Object.hasOwn(value, index)) index++;
      yield `<${index - start} empty item${index - start > 1 ? "s" : ""}>`;
    }
    shown++;
  }
  if (index < value.length) yield more(value.length - index);
}

function buffer(value, plain, prefix) {
  const bytes = new Uint8Array(value);
  const shown = Array.from(bytes.subarray(0, 50), (byte) => byte.toString(16).padStart(2, "0"));
  const rest = bytes.length - shown.length;
  const contents = `<${shown.join(" ")}${rest > 0 ? ` ... ${rest} more byte${rest > 1 ? "s" : ""}` : ""}>`;
  return {
    ...plain,
    prefix,
    entries: () => [`[Uint8Contents]: ${contents}`, `byteLength: ${bytes.length}`],
  };
}

function error(context, value, name, plain) {
  const keys = plain.keys.filter((key) => key !== "stack" && key !== "message");
  for (const key of ["cause", "errors"]) {
    if (Object.hasOwn(value, key) && !keys.includes(key)) keys.push(key);
  }
  const own = keys.filter((key) => key !== "name" || Object.hasOwn(value, "name"));
  const base = errorText(context, value, name);
  return { ...plain, base, keys: own, isWhole: own.length === 0 };
}

let stackOf = () => "";

/** Says how the stack of an error is written. */
export function describeErrors(write) {
  stackOf = write;
}

function errorText(context, value, name) {
  const kind = typeof value.name === "string" && value.name !== "" ? value.name : name || "Error";
  const said = typeof value.message === "string" && value.message !== "" ? `${kind}: ${value.message}` : kind;
  const places = stackOf(value);
  const text = places === "" ? `[${said}]` : `${said}\n${places}`;
  return text.replaceAll("\n", `\n${" ".repeat(context.indentation)}`);
}
