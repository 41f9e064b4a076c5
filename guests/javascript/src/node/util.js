// `node:util`.

import { custom, format, formatWithOptions, inspect } from "../inspect.js";
import { types } from "../types.js";
import { isDeepEqual } from "./equal.js";

const promisifyCustom = Symbol.for("nodejs.util.promisify.custom");

function invalid(name, kind, value) {
  const message = `The "${name}" argument must be of type ${kind}. Received ${inspect(value)}`;
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}

function promisify(original) {
  if (typeof original !== "function") throw invalid("original", "function", original);
  if (original[promisifyCustom] !== undefined) return original[promisifyCustom];
  function promised(...given) {
    return new Promise((resolve, reject) => {
      original.call(this, ...given, (error, value) => (error ? reject(error) : resolve(value)));
    });
  }
  return Object.setPrototypeOf(promised, Object.getPrototypeOf(original));
}
promisify.custom = promisifyCustom;

function callbackify(original) {
  return function (...given) {
    const callback = given.pop();
    if (typeof callback !== "function") throw invalid("last argument", "function", callback);
    original.apply(this, given).then(
      (value) => queueMicrotask(() => callback(null, value)),
      (error) => queueMicrotask(() => callback(error ?? new Error("a promise was rejected without a reason"))),
    );
  };
}

const warned = new Set();
function deprecate(original, message, code = message) {
  return function (...given) {
    if (!warned.has(code)) {
      warned.add(code);
      process.emitWarning(message);
    }
    return new.target ? Reflect.construct(original, given, new.target) : original.apply(this, given);
  };
}

function inherits(constructor, above) {
  constructor.super_ = above;
  Object.setPrototypeOf(constructor.prototype, above.prototype);
}

/** The colours and so on of terminals, which nothing here is. */
const stripVTControlCharacters = (text) =>
  // eslint-disable-next-line no-control-regex
  String(text).replace(/[\u001b\u009b][[\]()#;?]*(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-nq-uy=><~]/g, "");

const is = (kind) => (value) => typeof value === kind;
const util = {
  inspect, format, formatWithOptions, types, promisify, callbackify, deprecate, inherits,
  stripVTControlCharacters,
  isDeepStrictEqual: (a, b) => isDeepEqual(a, b, true),
  toUSVString: (text) => String(text).toWellFormed(),
  debuglog: () => Object.assign(() => {}, { enabled: false }),
  debug: () => Object.assign(() => {}, { enabled: false }),
  aborted: (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve)),
  styleText: (_, text) => text,
  TextEncoder, TextDecoder,
  isArray: Array.isArray,
  isBoolean: is("boolean"),
  isBuffer: (value) => globalThis.Buffer.isBuffer(value),
  isDate: types.isDate,
  isError: types.isNativeError,
  isFunction: is("function"),
  isNull: (value) => value === null,
  isNullOrUndefined: (value) => value === null || value === undefined,
  isNumber: is("number"),
  isObject: (value) => typeof value === "object" && value !== null,
  isPrimitive: (value) => value === null || (typeof value !== "object" && typeof value !== "function"),
  isRegExp: types.isRegExp,
  isString: is("string"),
  isSymbol: is("symbol"),
  isUndefined: (value) => value === undefined,
};
util.inspect.custom = custom;

export { callbackify, deprecate, format, formatWithOptions, inherits, inspect, promisify, types };
export const { debuglog, isDeepStrictEqual } = util;
export default util;
