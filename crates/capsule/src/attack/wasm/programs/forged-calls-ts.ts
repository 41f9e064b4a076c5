import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const child = task({ name: "child" }, async (...given: unknown[]) => {
  const { readFileSync } = await import("node:fs");
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log.slice(0, 2).concat([["arguments", "held", JSON.stringify(given).slice(0, 50)]]);
});

export const main = task({ name: "main" }, async () => {
  // Where the runtime itself speaks to the host.
  const host = await probe.control("the interface", () => (0, eval)("import('capsule:guest/host@0.1.0')"));
  const empty = '{"args":[],"kwargs":{}}';
  const policy = '"allowed_files":["."],"env_variables":["@VARIABLE@"],"options":{"allowed_files":["."]},"grant":{"files":["/"]}';
  for (const given of [
    `{"args":[],"kwargs":{},${policy}}`, `{"args":[],"kwargs":{${policy}}}`, `{${policy}}`, "", "null", "[", `${empty}${empty}`, "\u0000", "[".repeat(100000),
  ]) {
    // It may be refused, and if not, what is called has no more than was declared.
    try {
      host.wait([host.call("child", given)], undefined);
    } catch (error: any) {
      probe.log.push([`with ${given.slice(0, 20)}`, "held", String(error?.payload?.message ?? error).slice(0, 80)]);
    }
  }
  for (const name of ["", " child", "CHILD", "child\0", "../child", "__proto__", "constructor", "toString", "eval", "late", "c".repeat(1 << 20), "main()"]) {
    await probe.refused(`the name ${JSON.stringify(name.slice(0, 20))}`, () => {
      const number = host.call(name, empty);
      for (const { outcome } of host.wait([number], undefined)) if (outcome.tag === "err") throw new Error(outcome.val.message);
      return "called";
    });
  }
  probe.add(await child(1));
  return probe.told();
});
