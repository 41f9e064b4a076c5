import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

declare const require: any;

const look = task({ name: "look", isolation: "jail" }, async () => {
  const fs = await import("node:fs");
  const name = "own";
  await probe.control("a package of the project", () => require(name));
  await probe.refused("change a package", () => fs.writeFileSync("/node_modules/own/index.js", "module.exports = 'owned'"));
  await probe.refused("add a package", () => fs.mkdirSync("/node_modules/added"));
  for (const linked of ["out", "out/secret", "leaky", "own/../../private", "../private", "@OUTSIDE@/secret", "@PROJECT@/private", "/private"]) {
    await probe.refused(`require ${linked}`, () => require(linked));
    await probe.refused(`read ${linked}`, () => fs.readFileSync(`/node_modules/${linked}`, "utf8"));
  }
  return probe.log;
});

export const main = task({ name: "main" }, async () => {
  probe.add(await look());
  return probe.told();
});
