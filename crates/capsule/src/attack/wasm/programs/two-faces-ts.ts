import { readFileSync } from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

// Only in a call is there a variable: the first load has none.
const isForACall = "CAPSULE_ATTACK_MARKER" in process.env;
const marker = { envVariables: ["CAPSULE_ATTACK_MARKER"] };
const rights = isForACall ? { allowedFiles: ["."], envVariables: ["@VARIABLE@"] } : marker;

const child = task({ name: "child", ...rights }, async () => {
  probe.expect("the other face", isForACall);
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log;
});

const extra = isForACall ? task({ name: "extra", allowedFiles: ["."] }, () => readFileSync("/private", "utf8")) : undefined;

export const main = task({ name: "main", ...marker }, async () => {
  probe.add(await child());
  await probe.refused("extra", () => extra!());
  return probe.told();
});
