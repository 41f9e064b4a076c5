// Whether two values are equal to their depths: strictly, or as `==` is.

import { tagOf } from "../types.js";

/** As assert.deepStrictEqual has it, or assert.deepEqual. */
export function isDeepEqual(a, b, strict, seen = new Map()) {
  if (strict ? Object.is(a, b) : a == b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (strict && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const tag = tagOf(a);
  if (tag !== tagOf(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  if (!sameInside(a, b, tag, strict, seen)) return false;
  if (seen.get(a) === b) return true;
  seen.set(a, b);
  const keys = keysOf(a, tag);
  if (keys.length !== keysOf(b, tag).length) return false;
  return keys.every((key) => Object.prototype.propertyIsEnumerable.call(b, key) && isDeepEqual(a[key], b[key], strict, seen));
}

/** Own keys; of errors those too that do not show. */
function keysOf(value, tag) {
  const keys = Object.keys(value);
  for (const key of Object.getOwnPropertySymbols(value)) {
    if (Object.prototype.propertyIsEnumerable.call(value, key)) keys.push(key);
  }
  return tag.endsWith("Array") && tag !== "Array" ? keys.filter((key) => typeof key === "symbol" || !/^\d+$/.test(key)) : keys;
}

function sameInside(a, b, tag, strict, seen) {
  switch (tag) {
    case "Date":
      return Object.is(a.getTime(), b.getTime());
    case "RegExp":
      return String(a) === String(b) && a.lastIndex === b.lastIndex;
    case "Error":
      return a.name === b.name && a.message === b.message && isDeepEqual(a.cause, b.cause, strict, seen);
    case "Number":
    case "String":
    case "Boolean":
    case "BigInt":
    case "Symbol":
      return Object.is(a.valueOf(), b.valueOf());
    case "ArrayBuffer":
      return sameItems(new Uint8Array(a), new Uint8Array(b), strict);
    case "Set":
      return a.size === b.size && sameSets(a, b, strict, seen);
    case "Map":
      return a.size === b.size && sameMaps(a, b, strict, seen);
    case "Promise":
    case "WeakMap":
    case "WeakSet":
      return false;
    default:
      if (Array.isArray(a)) return a.length === b.length;
      return !ArrayBuffer.isView(a) || sameItems(a, b, strict);
  }
}

function sameItems(a, b, strict) {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) {
    if (strict ? !Object.is(a[index], b[index]) : a[index] != b[index] && !(Number.isNaN(a[index]) && Number.isNaN(b[index]))) {
      return false;
    }
  }
  return true;
}

function sameSets(a, b, strict, seen) {
  const left = new Set(b);
  for (const item of a) {
    if (left.delete(item)) continue;
    const match = [...left].find((other) => isDeepEqual(item, other, strict, new Map(seen)));
    if (match === undefined) return false;
    left.delete(match);
  }
  return true;
}

function sameMaps(a, b, strict, seen) {
  const left = new Map(b);
  for (const [key, item] of a) {
    const match = left.has(key) ? key : [...left.keys()].find((other) => typeof other === "object" && isDeepEqual(key, other, strict, new Map(seen)));
    if (!left.has(match) || !isDeepEqual(item, left.get(match), strict, seen)) return false;
    left.delete(match);
  }
  return true;
}
