// `process`, as far as a sandbox has one.

import EventEmitter from "events";

import { env } from "./environment.js";
import { absolute, current, enter } from "./files/path.js";
import * as wasi from "./files/wasi.js";
import { IN_NODE } from "./missing.js";
import { write } from "./output.js";

/** What ends a task that calls process.exit(). */
export class Exit extends Error {
  constructor(code) {
    super(`the task called process.exit(${code ?? ""})`);
    this.name = "ProcessExit";
    this.exitCode = code ?? 0;
  }
}

const started = Date.now();

function hrtime(earlier) {
  const now = performance.now();
  let seconds = Math.floor(now / 1000);
  let nanoseconds = Math.floor((now % 1000) * 1e6);
  if (earlier !== undefined) {
    seconds -= earlier[0];
    nanoseconds -= earlier[1];
    if (nanoseconds < 0) {
      seconds--;
      nanoseconds += 1e9;
    }
  }
  return [seconds, nanoseconds];
}
hrtime.bigint = () => BigInt(Math.floor(performance.now() * 1e6));

/** Standard output or error, as a stream that takes all at once. */
function stream(channel) {
  const made = new EventEmitter();
  return Object.assign(made, {
    fd: channel,
    isTTY: false,
    columns: 80,
    writable: true,
    write(data, encoding, callback) {
      write(channel, typeof data === "string" ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      const done = typeof encoding === "function" ? encoding : callback;
      if (typeof done === "function") setImmediate(done);
      return true;
    },
    end(data, encoding, callback) {
      if (data !== undefined && typeof data !== "function") made.write(data, encoding);
      const done = [data, encoding, callback].find((given) => typeof given === "function");
      if (done !== undefined) setImmediate(done);
    },
    cork() {},
    uncork() {},
    getColorDepth: () => 1,
    hasColors: () => false,
  });
}

const refuse = (name) => () => {
  throw new Error(`process.${name}() ${IN_NODE}`);
};

export const process = Object.assign(new EventEmitter(), {
  env,
  argv: ["capsule"],
  argv0: "capsule",
  execArgv: [],
  execPath: "/capsule",
  title: "capsule",
  pid: 1,
  ppid: 0,
  platform: "linux",
  arch: "wasm32",
  version: "v20.0.0",
  versions: { node: "20.0.0", capsule: "0.1.0", spidermonkey: "147" },
  release: { name: "capsule" },
  config: { variables: {} },
  features: {},
  exitCode: undefined,
  stdout: stream(1),
  stderr: stream(2),
  stdin: Object.assign(new EventEmitter(), { fd: 0, isTTY: false, resume() {}, pause() {}, setEncoding() {}, read: () => null }),
  cwd: current,
  chdir(path) {
    const text = absolute(path).replace(/\/+$/, "") || "/";
    if (wasi.stat(text).type !== "directory") {
      throw Object.assign(new Error(`ENOTDIR: not a directory, chdir '${path}'`), { code: "ENOTDIR" });
    }
    enter(text);
  },
  exit(code) {
    throw new Exit(code ?? process.exitCode);
  },
  abort() {
    throw new Exit(134);
  },
  nextTick: (callback, ...given) => queueMicrotask(() => callback(...given)),
  hrtime,
  uptime: () => (Date.now() - started) / 1000,
  memoryUsage: Object.assign(() => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }), { rss: () => 0 }),
  cpuUsage: () => ({ user: Math.floor(performance.now() * 1000), system: 0 }),
  resourceUsage: () => ({ userCPUTime: Math.floor(performance.now() * 1000), systemCPUTime: 0 }),
  getuid: () => 1000,
  geteuid: () => 1000,
  getgid: () => 1000,
  getegid: () => 1000,
  umask: () => 0o22,
  emitWarning: (warning) => write(2, `(capsule) Warning: ${warning?.message ?? warning}\n`),
  binding: refuse("binding"),
  dlopen: refuse("dlopen"),
  kill: refuse("kill"),
});
Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });

/** Says which program runs. */
export function setArguments(file) {
  process.argv = ["capsule", file];
}
