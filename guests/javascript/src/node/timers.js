// `node:timers` and `node:timers/promises`.

import * as timers from "../timers.js";

function waiting(start, stop) {
  return (delay, value, { signal } = {}) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const aborted = () => {
        stop(timer);
        reject(signal.reason);
      };
      const timer = start(() => {
        signal?.removeEventListener("abort", aborted);
        resolve(value);
      }, delay);
      signal?.addEventListener("abort", aborted, { once: true });
    });
}

const wait = waiting(timers.setTimeout, timers.clearTimeout);

export const promises = {
  setTimeout: wait,
  setImmediate: (value, options) => waiting((work) => timers.setImmediate(work), timers.clearImmediate)(0, value, options),
  async *setInterval(delay, value, options) {
    for (;;) yield await wait(delay, value, options);
  },
  scheduler: { wait: (delay, options) => wait(delay, undefined, options), yield: () => promises.setImmediate() },
};

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = timers;
Object.defineProperty(setTimeout, Symbol.for("nodejs.util.promisify.custom"), { value: promises.setTimeout });
Object.defineProperty(setImmediate, Symbol.for("nodejs.util.promisify.custom"), { value: promises.setImmediate });
export default { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate, promises };
