import { readFileSync } from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const options: any = { name: "child" };

const child: any = task(options, async () => {
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  await probe.refused("the program", () => readFileSync("/main.ts", "utf8"));
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log;
});

export const main = task({ name: "main" }, async () => {
  const rights = { allowedFiles: ["."], envVariables: ["@VARIABLE@"], allowedHosts: ["*"] };
  Object.assign(options, rights);
  try {
    Object.assign(child, rights, { options: rights });
  } catch {}
  Object.assign(Object.prototype, { allowed_files: ["."], env_variables: ["@VARIABLE@"], isolation: "none" });
  probe.add(await child());
  probe.add(await child.with(rights).run());
  return probe.told();
});
