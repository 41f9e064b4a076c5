import { readFileSync } from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

export const main = task({ name: "main" }, async () => {
  const rights = { envVariables: ["@VARIABLE@"], allowedFiles: ["."] };
  const late = task({ name: "late", ...rights }, () => process.env);
  await probe.refused("late", () => late());
  await probe.refused("late, in parallel", () => late.map([1, 2] as any));
  await probe.refused("its own name again", () => task({ name: "main", ...rights }, () => readFileSync("/private", "utf8"))());
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  return probe.told();
});
