// What Node has and a Wasm sandbox has not, in words.

/** What is said of it. */
export const IN_NODE = 'is not in a Wasm sandbox; the task option isolation: "jail" runs the task in Node';

/**
 * Globals that Node has. They are not there, so that a program can look for them; what uses
 * one of them without a look is told in the end.
 */
const GLOBALS = new Set([
  "Intl", "WebAssembly", "SharedArrayBuffer", "Atomics", "WebSocket", "EventSource", "MessageChannel", "MessagePort",
  "MessageEvent", "BroadcastChannel", "PerformanceEntry", "PerformanceObserver", "localStorage", "sessionStorage",
]);

/** What to add to the message of an error; mostly nothing. */
export function advice(error, message) {
  if (!(error instanceof ReferenceError)) return "";
  const name = /^(\w+) is not defined$/.exec(message)?.[1];
  return GLOBALS.has(name) ? `: it ${IN_NODE}` : "";
}
