import fs from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

declare const require: any;
const PATHS = [
  "@OUTSIDE@/secret", "@OUTSIDE@/secret.ts", "../outside/secret", "./leak", "/leak.ts", "/private", "./private", "/etc/passwd", "../../../../etc/passwd",
  "file:///etc/passwd", "file://@OUTSIDE@/secret.ts", "http://127.0.0.1:@PORT@/x.js", "data:text/javascript,globalThis.x=1", "/granted/out/secret", "node:child_process",
  "node:fs/../../etc/passwd", "capsule:guest/../../etc/passwd", "wasi:filesystem/preopens", "__proto__", "constructor", "/proc/self/environ", "\0/etc/passwd",
];

export const main = task({ name: "main", allowedFiles: ["granted"] }, async () => {
  await probe.control("a file that was granted", () => fs.readFileSync("/granted/control"));
  for (const path of PATHS) {
    const own = path.slice(0, 40);
    await probe.refused(`require ${own}`, () => require(path));
    await probe.refused(`import ${own}`, () => import(path));
    await probe.refused(`import by eval ${own}`, () => (0, eval)(`import(${JSON.stringify(path)})`));
    await probe.refused(`import by Function ${own}`, () => new Function("path", "return import(path)")(path));
    await probe.refused(`read ${own}`, () => fs.readFileSync(path, "utf8"));
    await probe.refused(`read by URL ${own}`, () => fs.readFileSync(new URL(path, "file:///granted/"), "utf8"));
  }
  for (const target of ["../../outside/secret", "/etc/passwd", "../private", "@OUTSIDE@"]) {
    await probe.refused(`plant a link to ${target}`, () => fs.symlinkSync(target, "/granted/planted"));
  }
  for (const path of ["/granted/out/secret", "/granted/out/../private", "/granted/../private", "/granted/control/../../private"]) {
    await probe.refused(`through ${path}`, () => fs.readFileSync(path, "utf8"));
    await probe.refused(`write through ${path}`, () => fs.writeFileSync(path, "owned"));
    await probe.refused(`require ${path}`, () => require(path));
  }
  return probe.told();
});
