import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const child = task({ name: "child" }, () => 1);

export const main = task({ name: "main", timeout: "20s" }, async () => {
  const host = await probe.control("the interface", () => (0, eval)("import('capsule:guest/host@0.1.0')"));
  const numbers: any[] = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 53, -1, 0n, 1n, 2n ** 63n, 2n ** 64n - 1n, Number.NaN, "1", null, undefined, {}];
  for (const name of Object.keys(host)) {
    for (const number of numbers) {
      try {
        // Waits are bounded by the timeout of the task, and end at once if nothing is meant.
        if (name !== "wait") host[name](number, number, number, number);
      } catch {}
    }
  }
  probe.expect("the host is well", (await child()) === 1);
  await probe.refused("a connection without a grant", () => host.connect("127.0.0.1", @PORT@));
  for (const path of ["../../etc/passwd", "/etc/passwd", "@OUTSIDE@/secret", "private", "probe.ts", ".env", "leak"]) {
    probe.expect(`the source of ${path}`, host.source(path) === undefined, host.source(path)?.path);
  }
  for (const name of ["wasi:filesystem/types@0.2.0", "wasi:sockets/tcp@0.2.0", "wasi:http/types@0.2.0", "wasi:cli/exit@0.2.0", "./main.js", "capsule:runtime.js"]) {
    await probe.refused(`the module ${name}`, () => (0, eval)(`import(${JSON.stringify(name)})`).then((module: any) => module.open ?? module.createTcpSocket ?? module.exit()));
  }
  return probe.told();
});
