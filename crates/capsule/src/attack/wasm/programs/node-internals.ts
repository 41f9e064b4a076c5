import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const look = task({ name: "look", isolation: "jail" }, async () => {
  const inner: any = process;
  const { execFileSync, spawnSync } = await import("node:child_process");
  const secret = "@OUTSIDE@/secret";
  await probe.refused("process.binding", () => {
    // In a process of its own: what it takes changes from version to version, and ends it.
    const code = `const { readFileUtf8, internalModuleReadJSON } = process.binding("fs"); console.log(readFileUtf8?.(${JSON.stringify(secret)}, 0) ?? internalModuleReadJSON(${JSON.stringify(secret)}))`;
    const { status, stdout } = spawnSync(process.execPath, ["-e", code], { timeout: 10000 });
    if (status !== 0 || stdout.toString().trim() in { "": 1, "[]": 1 }) throw new Error(`status ${status}: ${stdout}`);
    return stdout.toString();
  });
  await probe.refused("process.dlopen", () => inner.dlopen({ exports: {} }, secret));
  await probe.refused("a signal to the first process", () => {
    inner._debugProcess(1);
    process.kill(1, "SIGKILL");
    // It takes none: whoever sees this still runs.
    throw new Error("nothing happened");
  });
  await probe.refused("the user 0", () => process.setuid!(0));
  await probe.refused("a higher priority", async () => (await import("node:os")).setPriority(0, -20));
  await probe.refused("a report outside", () => inner.report.writeReport("/etc/report") || Promise.reject(new Error("not written")));
  await probe.refused("a snapshot outside", async () => (await import("node:v8")).writeHeapSnapshot("@OUTSIDE@/heap"));
  for (const [file, ...given] of [
    ["/bin/mount", "-t", "tmpfs", "none", "/tmp"], ["/usr/bin/unshare", "-Ur", "true"], ["/usr/bin/nsenter", "-t", "1", "-a", "true"], ["/bin/cat", secret],
    ["/bin/su", "-c", "id"], ["/usr/bin/sudo", "-n", "id"], ["/usr/sbin/chroot", "/", "true"], ["/bin/ping", "-c", "1", "127.0.0.1"],
  ]) {
    await probe.refused([file, ...given].join(" "), () => execFileSync(file, given, { stdio: "pipe", timeout: 5000 }));
  }
  await probe.refused("a thread with other rights", async () => {
    const { Worker } = await import("node:worker_threads");
    const worker = new Worker(`require("worker_threads").parentPort.postMessage(require("fs").readFileSync(${JSON.stringify(secret)}, "utf8"))`, { eval: true });
    return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  });
  await probe.refused("Node again, with an inspector", () => {
    const { stdout, status } = spawnSync(process.execPath, ["--inspect=0.0.0.0:0", "-p", `require("fs").readFileSync(${JSON.stringify(secret)}, "utf8")`], { timeout: 10000 });
    if (status !== 0) throw new Error(`status ${status}`);
    return stdout.toString();
  });
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log;
});

export const main = task({ name: "main" }, async () => {
  probe.add(await look());
  return probe.told();
});
