// `AbortController` and `AbortSignal`. The engine has its own; the reason of a signal made of
// several comes back from it as another value.

import { setTimeout } from "../timers.js";

const key = Symbol("made here");

class AbortSignal extends EventTarget {
  #reason;
  #isAborted = false;
  #then = new Set();
  #handler = null;

  constructor(given) {
    if (given !== key) throw new TypeError("Illegal constructor");
    super();
  }

  get aborted() {
    return this.#isAborted;
  }

  get reason() {
    return this.#reason;
  }

  get onabort() {
    return this.#handler;
  }

  set onabort(handler) {
    if (this.#handler !== null) this.removeEventListener("abort", this.#handler);
    this.#handler = typeof handler === "function" ? handler : null;
    if (this.#handler !== null) this.addEventListener("abort", this.#handler);
  }

  throwIfAborted() {
    if (this.#isAborted) throw this.#reason;
  }

  /** Aborts a signal, and those that are made of it. */
  static abortNow(signal, reason) {
    if (signal.#isAborted) return;
    signal.#isAborted = true;
    signal.#reason = reason === undefined ? new DOMException("This operation was aborted", "AbortError") : reason;
    for (const work of signal.#then) work(signal.#reason);
    signal.#then.clear();
    signal.dispatchEvent(new Event("abort"));
  }

  static abort(reason) {
    const signal = new AbortSignal(key);
    abortNow(signal, reason);
    return signal;
  }

  static timeout(milliseconds) {
    const signal = new AbortSignal(key);
    setTimeout(() => abortNow(signal, new DOMException("The operation was aborted due to timeout", "TimeoutError")), milliseconds);
    return signal;
  }

  static any(signals) {
    const signal = new AbortSignal(key);
    const all = [...signals];
    const first = all.find(({ aborted }) => aborted);
    if (first !== undefined) abortNow(signal, first.reason);
    else for (const one of all) one.#then.add((reason) => abortNow(signal, reason));
    return signal;
  }
}

const { abortNow } = AbortSignal;
delete AbortSignal.abortNow;

class AbortController {
  #signal = new AbortSignal(key);

  get signal() {
    return this.#signal;
  }

  abort(reason) {
    abortNow(this.#signal, reason);
  }
}

for (const [kind, name] of [[AbortSignal, "AbortSignal"], [AbortController, "AbortController"]]) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: name, configurable: true });
}

export { AbortController, AbortSignal };
