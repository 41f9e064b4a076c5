// What kind of object something is, whatever it says of itself.

const toString = Object.prototype.toString;
const typedTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;

/** Whether a method of a built-in type works on it: only its own instances have the slots. */
function takes(method, value) {
  try {
    method.call(value);
    return true;
  } catch {
    return false;
  }
}

const size = (kind) => Object.getOwnPropertyDescriptor(kind.prototype, "size").get;
const probes = [
  ["Map", size(Map)],
  ["Set", size(Set)],
  ["Date", Date.prototype.getTime],
  ["RegExp", Object.getOwnPropertyDescriptor(RegExp.prototype, "source").get],
  ["ArrayBuffer", Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "byteLength").get],
  ["DataView", Object.getOwnPropertyDescriptor(DataView.prototype, "byteLength").get],
  ["Number", Number.prototype.valueOf],
  ["String", String.prototype.valueOf],
  ["Boolean", Boolean.prototype.valueOf],
  ["BigInt", BigInt.prototype.valueOf],
  ["Symbol", Symbol.prototype.valueOf],
];
const byInstance = [["Promise", Promise], ["WeakMap", WeakMap], ["WeakSet", WeakSet], ["Error", Error]];

/** The name of the built-in type that an object is, or "Object". */
export function tagOf(value) {
  if (typeof value === "function") return "Function";
  const typed = typedTag.call(value);
  if (typed !== undefined) return typed;
  // A plain object is the common case, and the probes throw.
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return "Object";
  for (const [name, kind] of byInstance) if (value instanceof kind) return name;
  const said = toString.call(value).slice(8, -1);
  const hint = probes.find(([name]) => name === said);
  if (hint !== undefined && takes(hint[1], value)) return said;
  for (const [name, probe] of probes) {
    if (name === "RegExp" && value === RegExp.prototype) continue;
    if (takes(probe, value)) return name;
  }
  return "Object";
}

export const isUint8Array = (value) => ArrayBuffer.isView(value) && typedTag.call(value) === "Uint8Array";

const is = (name) => (value) => typeof value === "object" && value !== null && tagOf(value) === name;
const constructorName = (value) => Object.getPrototypeOf(value)?.constructor?.name;

/** `util.types`. */
export const types = {
  isAnyArrayBuffer: is("ArrayBuffer"),
  isArrayBuffer: is("ArrayBuffer"),
  isArrayBufferView: (value) => ArrayBuffer.isView(value),
  isAsyncFunction: (value) => typeof value === "function" && constructorName(value) === "AsyncFunction",
  isBigInt64Array: (value) => value instanceof BigInt64Array,
  isBigUint64Array: (value) => value instanceof BigUint64Array,
  isBooleanObject: is("Boolean"),
  isBoxedPrimitive: (value) => ["Number", "String", "Boolean", "BigInt", "Symbol"].some((name) => is(name)(value)),
  isDataView: is("DataView"),
  isDate: is("Date"),
  isFloat32Array: (value) => value instanceof Float32Array,
  isFloat64Array: (value) => value instanceof Float64Array,
  isGeneratorFunction: (value) => typeof value === "function" && /Generator/.test(constructorName(value)),
  isInt8Array: (value) => value instanceof Int8Array,
  isInt16Array: (value) => value instanceof Int16Array,
  isInt32Array: (value) => value instanceof Int32Array,
  isMap: is("Map"),
  isNativeError: (value) => value instanceof Error,
  isNumberObject: is("Number"),
  isPromise: (value) => value instanceof Promise,
  isProxy: () => false,
  isRegExp: is("RegExp"),
  isSet: is("Set"),
  isSharedArrayBuffer: () => false,
  isStringObject: is("String"),
  isSymbolObject: is("Symbol"),
  isTypedArray: (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
  isUint8Array,
  isUint8ClampedArray: (value) => value instanceof Uint8ClampedArray,
  isUint16Array: (value) => value instanceof Uint16Array,
  isUint32Array: (value) => value instanceof Uint32Array,
  isWeakMap: is("WeakMap"),
  isWeakSet: is("WeakSet"),
};
