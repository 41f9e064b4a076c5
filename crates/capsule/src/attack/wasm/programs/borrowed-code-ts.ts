import { readFileSync } from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const rich = task({ name: "rich", allowedFiles: ["."], envVariables: ["@VARIABLE@"] }, async () => {
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log;
});
const poor = task({ name: "poor" }, () => [] as typeof probe.log);

// In every sandbox that loads this, the poor one's name leads to the rich one's code.
const { get } = Map.prototype;
Map.prototype.get = function (key: any) {
  return get.call(this, key === "poor" && get.call(this, "rich") !== undefined ? "rich" : key);
};

export const main = task({ name: "main" }, async () => {
  const seen = await poor();
  probe.expect("the rich one's code ran", seen.length > 0, seen.length);
  probe.add(seen);
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  void rich;
  return probe.told();
});
