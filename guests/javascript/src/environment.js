// process.env: what the task was granted, and nothing of the host's.

const values = Object.create(null);
let isWatched = false;
let wasLookedAt = false;

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
  if (watch) wasLookedAt = false;
}

/** Whether anybody looked since then. */
export const looked = () => wasLookedAt;
