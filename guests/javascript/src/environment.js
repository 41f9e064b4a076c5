// process.env: what the task was granted, and nothing of the host's. And whether a program that
// is loaded looks at it, or at the clock.

const values = Object.create(null);
let isWatched = false;
let wasLookedAt = false;
let wasTimed = false;

function look() {
  if (isWatched) wasLookedAt = true;
}

/** As Node's: values are text, and whoever looks is noticed while a program is loaded. */
export const env = new Proxy(values, {
  get(target, key) {
    look();
    return Reflect.get(target, key);
  },
  has(target, key) {
    look();
    return Reflect.has(target, key);
  },
  ownKeys(target) {
    look();
    return Reflect.ownKeys(target);
  },
  getOwnPropertyDescriptor(target, key) {
    look();
    return Reflect.getOwnPropertyDescriptor(target, key);
  },
  set(target, key, value) {
    target[key] = String(value);
    return true;
  },
});

/** Sets all variables; `watch` notes from here on whether anybody looks. */
export function fill(pairs, watch) {
  for (const key of Object.keys(values)) delete values[key];
  for (const [key, value] of pairs) values[key] = value;
  isWatched = watch;
  if (watch) wasLookedAt = wasTimed = false;
}

/** Whether anybody looked since then. */
export const looked = () => wasLookedAt;

/** Whether anybody has asked since then how late it is on the clock that only runs. The host
 * cannot tell: the engine asks all the time. */
export const timed = () => wasTimed;

/** Notes who asks for that. */
export function watchClock() {
  const prototype = Object.getPrototypeOf(performance);
  const original = prototype.now;
  function now() {
    if (isWatched) wasTimed = true;
    return Reflect.apply(original, this, []);
  }
  Object.defineProperty(prototype, "now", { value: now, writable: true, configurable: true, enumerable: true });
}
