// `node:os`: of a machine that is a sandbox.

import { NUMBERS } from "../files/errors.js";

export default {
  EOL: "\n",
  devNull: "/dev/null",
  constants: { errno: NUMBERS, signals: { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }, priority: {} },
  arch: () => "wasm32",
  availableParallelism: () => 1,
  cpus: () => [{ model: "wasm", speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }],
  endianness: () => "LE",
  freemem: () => 0,
  getPriority: () => 0,
  homedir: () => "/",
  hostname: () => "capsule",
  loadavg: () => [0, 0, 0],
  machine: () => "wasm32",
  networkInterfaces: () => ({}),
  platform: () => "linux",
  release: () => "0",
  setPriority() {},
  tmpdir: () => "/tmp",
  totalmem: () => 0,
  type: () => "Linux",
  uptime: () => Math.floor(performance.now() / 1000),
  userInfo: () => ({ uid: 1000, gid: 1000, username: "capsule", homedir: "/", shell: null }),
  version: () => "capsule",
};
