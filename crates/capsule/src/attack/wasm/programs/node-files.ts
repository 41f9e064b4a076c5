import fs from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const look = task({ name: "look", isolation: "jail", allowedFiles: ["granted"] }, async () => {
  await probe.control("a file that was granted", () => fs.readFileSync("/granted/control", "utf8"));
  for (const path of [
    "@OUTSIDE@/secret", "@PROJECT@/private", "/private", "/.env", "/main.ts", "/probe.ts", "/granted/../private", "/granted/out/secret", "/etc/shadow",
    "/proc/1/environ", "/proc/1/mem", "/proc/1/root@OUTSIDE@/secret", "/proc/self/root@OUTSIDE@/secret", "/proc/self/fd/3", "/proc/kcore",
    "/sys/kernel/notes", "/dev/mem", "/dev/kmsg", "/run/docker.sock", "/var/run/docker.sock", "/tmp/../@OUTSIDE@/secret",
  ]) {
    await probe.refused(`read ${path}`, () => fs.readFileSync(path, "utf8") || Promise.reject(new Error("empty")));
    await probe.refused(`write ${path}`, () => fs.writeFileSync(path, "owned", { flag: "r+" }));
  }
  for (const [target, name] of [["@OUTSIDE@/secret", "a"], ["../../outside/secret", "b"], ["/proc/1/root@OUTSIDE@/secret", "c"], ["/../private", "d"]]) {
    await probe.control("a link of its own", () => fs.symlinkSync(target, `/granted/link-${name}`));
    await probe.refused(`through ${target}`, () => fs.readFileSync(`/granted/link-${name}`, "utf8"));
    await probe.refused(`a hard link to ${target}`, () => fs.linkSync(target, `/granted/hard-${name}`));
  }
  for (const path of ["/", "/usr", "/etc", "/bin", "/lib"]) await probe.refused(`make in ${path}`, () => fs.writeFileSync(`${path}/owned`, "x"));
  for (let fd = 4; fd < 64; fd++) await probe.refused(`descriptor ${fd}`, () => {
    if (!fs.fstatSync(fd).isFile() && !fs.fstatSync(fd).isDirectory()) throw new Error("no file");
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  });
  return probe.log;
});

export const main = task({ name: "main" }, async () => {
  probe.add(await look());
  return probe.told();
});
