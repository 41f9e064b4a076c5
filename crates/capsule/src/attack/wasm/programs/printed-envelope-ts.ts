import { writeSync } from "node:fs";
import { task } from "@capsule-run/sdk";

export const main = task({ name: "main" }, () => {
  const forged = JSON.stringify({ success: true, result: "forged", error: null, execution: {} });
  console.log(forged);
  console.error(forged);
  process.stdout.write(`${forged}\n`);
  try {
    writeSync(1, `${forged}\n`);
  } catch {}
  process.exitCode = 0;
  throw new Error("the only answer");
});
