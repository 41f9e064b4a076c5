// What a program finds without an import.

import unorm from "unorm";

import { console } from "./console.js";
import { watchClock } from "./environment.js";
import { Buffer } from "./node/buffer.js";
import { process } from "./process.js";
import { install as installStacks } from "./stack.js";
import * as timers from "./timers.js";
import { AbortController, AbortSignal } from "./web/abort.js";
import { fetch } from "./web/fetch.js";
import { Request, Response } from "./web/messages.js";
import { install } from "./web/streams.js";

const define = (object, name, value) => Object.defineProperty(object, name, { value, writable: true, configurable: true });

install();
installStacks();
watchClock();
const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } = timers;
const found = {
  process, Buffer, console, AbortController, AbortSignal, fetch, Request, Response,
  setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate,
  global: globalThis,
  navigator: Object.freeze({ userAgent: "capsule", language: "en", languages: Object.freeze(["en"]), hardwareConcurrency: 1 }),
};
for (const [name, value] of Object.entries(found)) define(globalThis, name, value);
// The engine is built without the tables of Unicode for this.
if (typeof String.prototype.normalize !== "function") {
  define(String.prototype, "normalize", function normalize(form = "NFC") {
    const method = unorm[String(form).toLowerCase()];
    if (!/^NFK?[CD]$/.test(form) || method === undefined) throw new RangeError(`The normalization form should be one of NFC, NFD, NFKC, NFKD.`);
    return method(String(this));
  });
}
