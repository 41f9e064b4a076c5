// The session of an instance: names that live from one piece of code to the next.

import { wait } from "capsule:guest/host@0.1.0";

import { inspect } from "./inspect.js";
import { Deadlock, isThenable } from "./loop.js";
import * as operations from "./operations.js";
import { require } from "./require.js";
import { describePiece, frames, stackOf } from "./stack.js";
import { prepare } from "./statements.js";
import * as timers from "./timers.js";
import { encode, isJson } from "./values.js";

// Indirect: names are global.
const evaluateGlobally = eval;
/** The engine's own, before it is replaced: its end comes after all microtasks. */
const { setTimeout } = globalThis;
const drained = () => new Promise((resolve) => setTimeout(resolve, 0));
let pieces = 0;

/** Runs code; the value of its last expression as JSON, or as text if JSON would change it. */
export async function evaluate(code, name) {
  if (name === "") pieces++;
  globalThis.require ??= require;
  const { names, text, moved } = prepare(code);
  if (names.length > 0) evaluateGlobally(`var ${names.join(", ")}`);
  const file = describePiece(name || `input ${pieces}`, moved, code.split("\n").length);
  const result = run(`${text}\n//# sourceURL=${file}`, moved);
  const value = isThenable(result) ? await settled(result) : result;
  if (value === undefined) return "null";
  return encode(isJson(value) ? value : inspect(value));
}

/** What code comes to; of code that is none, where that is. */
function run(text, moved) {
  try {
    return evaluateGlobally(text);
  } catch (error) {
    if (!(error instanceof SyntaxError) || frames(stackOf(error)).length > 0) throw error;
    const { lineNumber: line, columnNumber: column } = error;
    throw new SyntaxError(`${error.message} at line ${line}, column ${line === 1 ? column - moved : column}`);
  }
}

/** Waits for a promise inside the sandbox: nothing else goes on here meanwhile. */
async function settled(promise) {
  let end;
  promise.then((value) => (end = { value }), (error) => (end = { error }));
  for (;;) {
    await drained();
    if (end !== undefined) break;
    if (timers.runNext()) continue;
    const next = timers.untilNext();
    if (next === undefined && !operations.isPending()) throw new Deadlock();
    operations.deliver(wait([], next));
  }
  if ("error" in end) throw end.error;
  return end.value;
}
