// The modules that a program finds here: the SDK, and what there is of Node's.

import EventEmitter from "events";
import * as buffer from "./node/buffer.js";
import path from "path-browserify";
import stream from "readable-stream";
import { StringDecoder } from "string_decoder/";

import { console } from "./console.js";
import assert from "./node/assert.js";
import crypto from "./node/crypto.js";
import fs from "./node/fs.js";
import os from "./node/os.js";
import querystring from "./node/querystring.js";
import timers, { promises as timersPromises } from "./node/timers.js";
import url from "./node/url.js";
import util from "./node/util.js";
import zlib from "./node/zlib.js";
import { process } from "./process.js";
import * as errors from "./errors.js";
import * as sdk from "./sdk.js";

path.posix = path;
const outside = (name) => () => {
  throw new sdk.CapsuleError(`${name}() starts programs from Node; inside a sandbox, call a task`);
};
const runner = {
  ...errors, run: outside("run"), runJavaScript: outside("runJavaScript"), runPython: outside("runPython"),
  printOutput: outside("printOutput"), Session: class Session { constructor() { outside("Session")(); } },
};
/** What `import x from "node:…"` and `require` both get. */
const events = Object.assign(EventEmitter, { EventEmitter, setMaxListeners() {}, getEventListeners: (emitter, name) => emitter.listeners(name), captureRejectionSymbol: Symbol.for("nodejs.rejection"), errorMonitor: Symbol("events.errorMonitor") });

const MODULES = {
  "@capsule-run/sdk": sdk,
  "@capsule-run/sdk/runner": runner,
  "assert": assert,
  "assert/strict": assert.strict,
  "buffer": {
    Buffer: buffer.Buffer, SlowBuffer: buffer.SlowBuffer, kMaxLength: buffer.kMaxLength, INSPECT_MAX_BYTES: 50,
    constants: { MAX_LENGTH: buffer.kMaxLength, MAX_STRING_LENGTH: 2 ** 30 - 2 }, Blob, File, atob, btoa,
  },
  "console": Object.assign(console, { Console: function Console() { return console; } }),
  "constants": fs.constants,
  "crypto": crypto,
  "events": events,
  "fs": fs,
  "fs/promises": fs.promises,
  "os": os,
  "path": path,
  "path/posix": path,
  "perf_hooks": { performance, PerformanceObserver: class { observe() {} disconnect() {} }, monitorEventLoopDelay: () => ({ enable() {}, disable() {} }), constants: {} },
  "process": process,
  "querystring": querystring,
  "stream": stream,
  "stream/promises": stream.promises,
  "stream/web": globalThis,
  "string_decoder": { StringDecoder },
  "timers": timers,
  "timers/promises": timersPromises,
  "tty": { isatty: () => false, ReadStream: class {}, WriteStream: class {} },
  "url": url,
  "util": util,
  "util/types": util.types,
  "zlib": zlib,
};

/** What Node has and this runtime has not; those that Node knows with `node:` only are not listed. */
const MISSING = [
  "_http_agent", "_http_client", "_http_common", "_http_incoming", "_http_outgoing", "_http_server",
  "_stream_duplex", "_stream_passthrough", "_stream_readable", "_stream_transform", "_stream_wrap",
  "_stream_writable", "_tls_common", "_tls_wrap", "async_hooks", "child_process", "cluster", "dgram",
  "diagnostics_channel", "dns", "dns/promises", "domain", "http", "http2", "https", "inspector",
  "inspector/promises", "module", "net", "path/win32", "punycode", "readline", "readline/promises", "repl",
  "stream/consumers", "sys", "tls", "trace_events", "v8", "vm", "wasi", "worker_threads",
];

const plain = (name) => String(name).replace(/^node:/, "").replace(/\/$/, "");

/** The module of this name; undefined if there is none. */
export function load(name) {
  const key = plain(name);
  return Object.hasOwn(MODULES, key) ? MODULES[key] : undefined;
}

/** Whether Node has such a module. */
export const isBuiltin = (name) => String(name).startsWith("node:") || MISSING.includes(plain(name));
