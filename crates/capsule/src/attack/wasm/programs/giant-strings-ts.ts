import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const double = (text: string) => { for (;;) text += text; };
const ATTEMPTS: Record<string, () => unknown> = {
  repeat: () => "x".repeat(2 ** 30),
  doubling: () => double("x"),
  wide: () => "\u{1f600}".repeat(2 ** 28).normalize("NFD"),
  flat: () => Buffer.from("x".repeat(2 ** 29)).length,
  pad: () => "".padEnd(2 ** 30, "ab").split(""),
  join: () => new Array(2 ** 27).join("xxxxxxxx"),
  replace: () => "a".repeat(1 << 20).replaceAll("a", "b".repeat(4096)),
  json: () => JSON.stringify(new Array(2 ** 26).fill("xxxxxxxx")),
  number: () => 2n ** (2n ** 33n),
  digits: () => String(2n ** (2n ** 26n)).length + String(2n ** (2n ** 30n)).length,
  array: () => new Array(2 ** 28).fill(1),
  bytes: () => new Uint8Array(2 ** 31),
  buffer: () => Buffer.alloc(2 ** 30, 1),
  many: () => { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); },
  map: () => { const all = new Map(); for (let n = 0; ; n++) all.set(`key ${n}`, [n]); },
  match: () => [..."ab".repeat(1 << 24).matchAll(/./g)],
  raw: () => String.raw({ raw: { length: 2 ** 30 } } as any),
};

// Each in a sandbox of its own: what the engine cannot refuse ends it.
const make = task({ name: "make", ram: "64MB", timeout: "5s", compute: "HIGH" }, (name: string) => String(ATTEMPTS[name]()).length);

export const main = task({ name: "main", timeout: "55s", compute: "HIGH" }, async () => {
  for (const name of Object.keys(ATTEMPTS)) await probe.refused(name, () => make(name));
  return probe.told();
});
