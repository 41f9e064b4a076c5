import { readFileSync } from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

/** Another value each time that it is looked at. */
const fickle = (...faces: any[]) => {
  let looks = 0;
  return { enumerable: true, get: () => faces[Math.min(looks++, faces.length - 1)] };
};
const options: any = Object.defineProperties({}, {
  name: fickle("child", "main", "child"),
  allowedFiles: fickle([], ["."], ["/"], ["@OUTSIDE@"]),
  envVariables: fickle([], ["@VARIABLE@"]),
  allowedHosts: fickle([], ["*"]),
});
const proxied: any = new Proxy({ name: "proxied" }, {
  ownKeys: () => ["name"],
  get: (target, key) => (key === "name" ? "proxied" : ["."]),
  has: () => true,
});

async function look() {
  await probe.refused("a file", () => readFileSync("/private", "utf8"));
  await probe.refused("outside", () => readFileSync("@OUTSIDE@/secret", "utf8"));
  await probe.refused("a host", () => fetch("http://127.0.0.1:@PORT@/"));
  probe.expect("a variable", !("@VARIABLE@" in process.env), Object.keys(process.env));
  return probe.log;
}
const child = task(options, look);
const other = task(proxied, look);

export const main = task({ name: "main" }, async () => {
  probe.add(await child());
  probe.add(await other());
  return probe.told();
});
