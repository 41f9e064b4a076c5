import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const limits = { timeout: "300ms", compute: "HIGH" } as const;
const getter = task({ name: "getter", ...limits }, () => ({ get value() { for (;;); } }));
const toJSON = task({ name: "toJSON", ...limits }, () => { const own: any = {}; own.toJSON = () => ({ toJSON: own.toJSON, n: 1 }); return own; });
const keys = task({ name: "keys", ...limits }, () => new Proxy({}, { ownKeys() { for (;;); } }));
const items = task({ name: "items", ...limits }, () => new Proxy([], { get: (_, key) => (key === "length" ? 2 ** 32 - 1 : []) }));
const message = task({ name: "message", ...limits }, () => { throw Object.defineProperty(new Error("x"), "message", { get() { for (;;); } }); });
const thenable = task({ name: "thenable", ...limits }, () => ({ then() { for (;;); } }) as any);
const causes = task({ name: "causes", ...limits }, () => { throw Object.defineProperty(new Error("x"), "cause", { get() { return Object.defineProperty(new Error("y"), "cause", { get: () => { for (;;); } }); } }); });

export const main = task({ name: "main", timeout: "40s", compute: "HIGH" }, async () => {
  for (const [name, one] of Object.entries({ getter, toJSON, keys, items, message, thenable, causes })) await probe.refused(name, () => (one as any)());
  return probe.told();
});
