// What a program finds without an import.

import "./console.js";
import { process } from "./process.js";
import * as timers from "./timers.js";

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = timers;
const found = {
  process, setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate,
  global: globalThis,
};
for (const [name, value] of Object.entries(found)) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}
