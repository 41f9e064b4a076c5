// The event loop, which is the host's: this guest never waits.
//
// The engine runs every microtask after an exported function has returned, and before
// the host hears of it. So whoever wants to know what the microtasks led to returns
// "waiting for no time at all", and is called once more. Each such call runs one timer,
// as Node does: its microtasks come before the next timer.

import * as operations from "./operations.js";
import * as timers from "./timers.js";
import { encode } from "./values.js";

/** The one call that an instance may have under way. */
let call;

const NOW = { tag: "waiting", val: 0n };

const done = (value) => ({ tag: "done", val: encode(value) });

/** Nothing is there that could go on. */
export class Deadlock extends Error {
  constructor() {
    super("deadlock: the task waits for a promise that nothing can settle");
    this.name = "Deadlock";
  }
}

/** Calls `invoke`; goes as far as it can. */
export function begin(invoke) {
  const result = invoke();
  if (!isThenable(result)) return done(result);
  const begun = { state: "pending", value: undefined };
  call = begun;
  // Not `await`: what the user's `then` does is no part of this stack.
  Promise.resolve(result).then(
    (value) => Object.assign(begun, { state: "fulfilled", value }),
    (value) => Object.assign(begun, { state: "rejected", value }),
  );
  return NOW;
}

/** Goes on: the end of the call, or what it waits for. `isHeard`: answers were handed over. */
export function advance(isHeard) {
  if (call.state === "pending") {
    // What the answers lead to has not run yet.
    if (isHeard || timers.runNext()) return NOW;
    const next = timers.untilNext();
    if (next === undefined && !operations.isPending()) throw new Deadlock();
    return { tag: "waiting", val: next };
  }
  const { state, value } = call;
  call = undefined;
  if (state === "rejected") throw value;
  return done(value);
}

/** Forgets the call; for what ran while the runtime was built. */
export function forget() {
  call = undefined;
}

/** Whether it is a promise, or acts like one. */
export function isThenable(value) {
  return (typeof value === "object" || typeof value === "function") && value !== null &&
    typeof value.then === "function";
}
