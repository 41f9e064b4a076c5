import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

/** What the code beside the program stands on, each broken in a sandbox of its own. */
const POLLUTION: Record<string, () => unknown> = {
  done: () => Object.assign(Object.prototype, { tag: "done", val: '"forged"' }),
  failure: () => Object.assign(Object.prototype, { kind: "Denied", payload: { kind: "MemoryError", message: "", detail: "E4001" } }),
  arguments: () => Object.defineProperty(Object.prototype, "args", { get: () => ["forged"] }),
  json: () => Object.assign(JSON, { stringify: () => '"forged"', parse: () => ({ args: [], kwargs: {} }) }),
  join: () => (Array.prototype.join = () => '"forged"},{"success":true,"x":{'),
  wellFormed: () => ((String.prototype as any).isWellFormed = () => true),
  finite: () => (Number.isFinite = () => true),
  then: () => (Promise.prototype.then = function () { return this; } as any),
  map: () => (Map.prototype.get = () => ({ run: () => "forged" })),
  encode: () => (TextEncoder.prototype.encode = () => new Uint8Array(1 << 20)),
  decode: () => (TextDecoder.prototype.decode = () => '{"args":[],"kwargs":{}}'),
  iterator: () => (Array.prototype[Symbol.iterator] = function* () { yield "forged"; } as any),
  call: () => (Function.prototype.call = Function.prototype.apply = () => "forged"),
  instance: () => Object.defineProperty(Error, Symbol.hasInstance, { value: () => true }),
  globals: () => { for (const name of Object.getOwnPropertyNames(globalThis)) { try { (globalThis as any)[name] = null; } catch {} } },
  frozen: () => { Object.freeze(Object.prototype); Object.freeze(Array.prototype); },
};

const spoil = task({ name: "spoil", timeout: "5s" }, (name: string) => {
  POLLUTION[name]();
  return ["value", "\ud83d\ude00", 1.5];
});
const failing = task({ name: "failing", timeout: "5s" }, (name: string) => {
  POLLUTION[name]();
  throw new RangeError("as it was");
});
const clean = task({ name: "clean" }, (given: unknown) => ({ given, own: Object.keys(Object.prototype), text: JSON.stringify([1]) }));

export const main = task({ name: "main", timeout: "50s", compute: "HIGH" }, async () => {
  for (const name of Object.keys(POLLUTION)) {
    for (const one of [spoil, failing]) {
      // Whatever comes of it is its own answer: a value, or a failure with a name.
      const ended = await one(name).then((value) => JSON.stringify(value), (error) => error.name);
      probe.expect(`${one.name} ${name}`, typeof ended === "string" || ended === undefined, ended);
    }
    const seen: any = await clean(name);
    probe.expect(`the next sandbox after ${name}`, seen.given === name && seen.own.length === 0 && seen.text === "[1]", JSON.stringify(seen));
  }
  return probe.told();
});
