// The session of an instance: names that live from one piece of code to the next.

import { encode, isJson } from "./values.js";
import { inspect } from "./inspect.js";

const evaluateGlobally = eval;

/** Runs code; the value of its last expression as JSON, or as text if JSON would change it. */
export async function evaluate(code, name) {
  const value = await evaluateGlobally(`${code}\n//# sourceURL=${name || "input"}`);
  return encode(value === undefined ? null : isJson(value) ? value : inspect(value));
}
