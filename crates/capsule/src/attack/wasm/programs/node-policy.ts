import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

declare const require: any;
const rights = { allowedFiles: ["."], envVariables: ["@VARIABLE@"], allowedHosts: ["*"], isolation: "none" };

async function look() {
  const { readFileSync } = await import("node:fs");
  for (const path of ["/private", "/project/private", "@PROJECT@/private", "@OUTSIDE@/secret"]) await probe.refused(`${path}`, () => readFileSync(path, "utf8"));
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log;
}
const inWasm: any = task({ name: "inWasm" }, look);
const inJail: any = task({ name: "inJail", isolation: "jail" }, look);

const jailed = task({ name: "jailed", isolation: "jail", timeout: "40s" }, async () => {
  Object.assign(Object.prototype, { allowed_files: ["."], env_variables: ["@VARIABLE@"] });
  for (const child of [inWasm, inJail]) {
    Object.assign(child, { options: rights });
    probe.add(await child(rights));
    probe.add(await child.with(rights).run());
  }
  const late: any = task({ name: "late", ...rights } as any, look);
  await probe.refused("a task that is declared in a call", () => late());
  for (const name of ["", "main ", "__proto__", "../main", "look", "c".repeat(1 << 20)]) await probe.refused(`the task ${name.slice(0, 20)}`, () => (task({ name: name || "x" }, look) as any)());
  await probe.refused("the runner", () => require("@capsule-run/sdk/runner").run({ file: "main.ts", mounts: ["/"] }));
  return probe.log;
});

export const main = task({ name: "main", timeout: "50s" }, async () => {
  probe.add(await jailed());
  return probe.told();
});
