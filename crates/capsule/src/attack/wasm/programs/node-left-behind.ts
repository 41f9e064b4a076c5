import { task } from "@capsule-run/sdk";

const leave = task({ name: "leave", isolation: "jail", envVariables: ["CAPSULE_ATTACK_MARKER"] }, async () => {
  const { spawn } = await import("node:child_process");
  for (let n = 0; n < 5; n++) {
    spawn("/bin/sh", ["-c", `setsid sh -c 'sleep 1000' & sleep 1000 # ${process.env.CAPSULE_ATTACK_MARKER}`], { detached: true, stdio: "inherit" }).unref();
  }
  setInterval(() => {}, 10);
  process.on("exit", () => { for (;;); });
  return "gone";
});

export const main = task({ name: "main" }, () => leave());
