// The modules that a program finds here: the SDK, and what there is of Node's.

import * as sdk from "./sdk.js";

const MODULES = new Map([["@capsule-run/sdk", () => sdk]]);

/** What Node has and this runtime has not. */
const MISSING = [
  "async_hooks", "child_process", "cluster", "dgram", "diagnostics_channel", "dns", "dns/promises", "domain",
  "http", "http2", "https", "inspector", "net", "perf_hooks", "punycode", "readline",
  "readline/promises", "repl", "sqlite", "test", "tls", "trace_events", "tty", "v8", "vm", "wasi",
  "worker_threads",
];

const plain = (name) => name.replace(/^node:/, "");

/** The module of this name; undefined if there is none. */
export const load = (name) => MODULES.get(plain(name))?.();

/** Whether Node has such a module. */
export const isBuiltin = (name) => MODULES.has(plain(name)) || MISSING.includes(plain(name));
