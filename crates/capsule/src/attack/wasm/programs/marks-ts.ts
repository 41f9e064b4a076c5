import fs from "node:fs";
import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

declare const require: any;
const mark = `mark-${"x".repeat(20)}`;
const places: Record<string, { leave(): void; find(): unknown }> = {
  global: { leave: () => ((globalThis as any).mark = mark), find: () => (globalThis as any).mark },
  prototype: { leave: () => ((Object.prototype as any).mark = mark), find: () => ({} as any).mark },
  environment: { leave: () => (process.env.MARK = mark), find: () => process.env.MARK },
  module: { leave: () => (require("os").mark = mark), find: () => require("os").mark },
  symbol: { leave: () => ((Symbol as any).mark = mark), find: () => (Symbol as any).mark },
  file: { leave: () => fs.writeFileSync("/tmp/mark", mark), find: () => fs.existsSync("/tmp/mark") || undefined },
  folder: { leave: () => process.chdir("/tmp"), find: () => (process.cwd() === "/tmp" ? "/tmp" : undefined) },
  pattern: { leave: () => /(mark)/.exec("mark"), find: () => (RegExp.$1 === "mark" ? RegExp.$1 : undefined) },
  memory: { leave: () => Buffer.alloc(1 << 17, mark), find: () => Buffer.allocUnsafe(1 << 17).includes(mark) || undefined },
  array: { leave: () => new Uint8Array(1 << 17).fill(77), find: () => new Uint8Array(1 << 17).some((byte) => byte !== 0) || undefined },
};
const leave = task({ name: "leave" }, () => { for (const place of Object.values(places)) place.leave(); });
const find = task({ name: "find" }, () => Object.entries(places).map(([name, place]) => [name, place.find() ?? null]));

export const main = task({ name: "main", compute: "HIGH" }, async () => {
  for (let round = 0; round < 4; round++) {
    await leave();
    for (const [name, found] of (await find()) as [string, unknown][]) probe.expect(`${name}, round ${round}`, found === null, found);
  }
  return probe.told();
});
