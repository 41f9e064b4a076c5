// process.env: what the task was granted, and nothing of the host's. And whether a program that
// is loaded looks at it, or at the clock.

const values = Object.create(null);
let isWatched = false;
let wasLookedAt = false;
let wasTimed = false;
let isTold = false;
/** What is done when somebody looks, or asks for the time, after that was told. */
const late = { look() {}, time() {} };

function look() {
  if (!isWatched) return;
  wasLookedAt = true;
  if (isTold) late.look();
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
  isTold = false;
  if (watch) wasLookedAt = wasTimed = false;
}

/** What the host is told of a program that was loaded. What goes on in it, in promises, may look
 * later, so that the host has to see it by other means. */
export function told() {
  isTold = true;
  return { pure: !wasLookedAt, timed: wasTimed };
}

export function tellLate(look, time) {
  Object.assign(late, { look, time });
}

/** Notes who asks how late it is on the clock that only runs. The host cannot tell: the engine
 * asks all the time. */
export function watchClock() {
  const prototype = Object.getPrototypeOf(performance);
  const original = prototype.now;
  function now() {
    if (isWatched) wasTimed = true;
    if (isWatched && isTold) late.time();
    return Reflect.apply(original, this, []);
  }
  Object.defineProperty(prototype, "now", { value: now, writable: true, configurable: true, enumerable: true });
}
