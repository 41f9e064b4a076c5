// Timers: a queue of our own, because the engine's would wait inside the sandbox.

import { inspect } from "./inspect.js";

/** By time, then by the order in which they were set; a binary heap. */
const heap = [];
let immediates = [];
let order = 0;

const isBefore = (a, b) => a.due < b.due || (a.due === b.due && a.order < b.order);

/** What setTimeout returns: a number where one is wanted, with Node's methods. */
class Timeout {
  constructor(callback, given, delay, repeats) {
    this.callback = callback;
    this.given = given;
    this.delay = delay;
    this.repeats = repeats;
    this.isLive = true;
    this.order = ++order;
    byNumber.set(this.order, this);
    this.rearm();
  }

  rearm() {
    this.due = performance.now() + this.delay;
    push(this);
  }

  ref() {
    return this;
  }

  unref() {
    return this;
  }

  hasRef() {
    return true;
  }

  refresh() {
    if (this.isLive) {
      remove(this);
      this.rearm();
    }
    return this;
  }

  close() {
    clear(this);
    return this;
  }

  [Symbol.toPrimitive]() {
    return this.order;
  }

  [Symbol.dispose]() {
    clear(this);
  }
}

const byNumber = new Map();

function push(timer) {
  let at = heap.push(timer) - 1;
  while (at > 0) {
    const above = (at - 1) >> 1;
    if (!isBefore(timer, heap[above])) break;
    heap[at] = heap[above];
    at = above;
  }
  heap[at] = timer;
}

function pop() {
  const first = heap[0];
  const last = heap.pop();
  if (heap.length > 0) {
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1], heap[below])) below++;
      if (!isBefore(heap[below], last)) break;
      heap[at] = heap[below];
      at = below;
    }
    heap[at] = last;
  }
  return first;
}

function remove(timer) {
  const at = heap.indexOf(timer);
  if (at < 0) return;
  const rest = heap.splice(0).filter((other) => other !== timer);
  rest.forEach(push);
}

function clear(timer) {
  const found = typeof timer === "object" && timer !== null ? timer : byNumber.get(Number(timer));
  if (!(found instanceof Timeout) || !found.isLive) return;
  found.isLive = false;
  byNumber.delete(found.order);
  // The dead are skipped when their time comes; many of them are cleared away at once.
  if (++cleared > 64 && cleared > heap.length / 2) {
    cleared = 0;
    heap.splice(0).filter((other) => other.isLive).forEach(push);
  }
}

let cleared = 0;

function callable(callback) {
  if (typeof callback !== "function") {
    const error = new TypeError(
      `The "callback" argument must be of type function. Received ${inspect(callback)}`,
    );
    error.code = "ERR_INVALID_ARG_TYPE";
    throw error;
  }
}

/** As browsers and Node have it: at least a millisecond, and what is no such time is one. */
function milliseconds(delay) {
  const number = Number(delay);
  return number >= 1 && number <= 2147483647 ? Math.trunc(number) : 1;
}

export function setTimeout(callback, delay, ...given) {
  callable(callback);
  return new Timeout(callback, given, milliseconds(delay), false);
}

export function setInterval(callback, delay, ...given) {
  callable(callback);
  return new Timeout(callback, given, milliseconds(delay), true);
}

export function setImmediate(callback, ...given) {
  callable(callback);
  const immediate = { callback, given, isLive: true, hasRef: () => true };
  immediate.ref = immediate.unref = () => immediate;
  immediates.push(immediate);
  return immediate;
}

export const clearTimeout = clear;
export const clearInterval = clear;

export function clearImmediate(immediate) {
  if (typeof immediate === "object" && immediate !== null) immediate.isLive = false;
}

/** Runs the next one that is due; false if none is. */
export function runNext() {
  for (skip(); heap.length > 0 && heap[0].due <= performance.now(); skip()) {
    const timer = pop();
    if (timer.repeats) {
      timer.rearm();
    } else {
      timer.isLive = false;
      byNumber.delete(timer.order);
    }
    timer.callback(...timer.given);
    return true;
  }
  while (immediates.length > 0) {
    const { callback, given, isLive } = immediates.shift();
    if (!isLive) continue;
    callback(...given);
    return true;
  }
  return false;
}

function skip() {
  while (heap.length > 0 && !heap[0].isLive) pop();
}

/** Nanoseconds until the next is due; undefined if there is none. */
export function untilNext() {
  skip();
  if (immediates.some(({ isLive }) => isLive)) return 0n;
  if (heap.length === 0) return undefined;
  return BigInt(Math.ceil(Math.max(0, heap[0].due - performance.now()) * 1e6));
}

/** Forgets all; for what ran while the runtime was built. */
export function forget() {
  heap.length = 0;
  immediates = [];
  byNumber.clear();
  order = 0;
}
