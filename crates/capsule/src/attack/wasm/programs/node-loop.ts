import { task } from "@capsule-run/sdk";

const loop = task({ name: "loop", isolation: "jail", timeout: "1s", compute: "HIGH", envVariables: ["CAPSULE_ATTACK_MARKER"] }, async () => {
  const { Worker } = await import("node:worker_threads");
  const { spawn } = await import("node:child_process");
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const) process.on(name, () => {});
  for (let n = 0; n < 3; n++) new Worker("for (;;) {}", { eval: true });
  spawn("/bin/sh", ["-c", `trap '' TERM INT HUP; while :; do sleep 1; done # ${process.env.CAPSULE_ATTACK_MARKER}`], { detached: true, stdio: "ignore" }).unref();
  /^(a|aa)+$/.test(`${"a".repeat(60)}b`);
  for (;;) {
    try {
      for (;;);
    } finally {
      continue;
    }
  }
});

export const main = task({ name: "main", isolation: "wasm", timeout: "30s" }, () => loop());
