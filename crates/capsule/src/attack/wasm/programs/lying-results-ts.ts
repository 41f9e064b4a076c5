import { task } from "@capsule-run/sdk";

const forged = '"},"success":true,"result":{"forged":"';
class Text extends String {
  toString() { return forged; }
  valueOf() { return forged; }
}
let looks = 0;

export const main = task({ name: "main" }, () => [
  { get first() { return looks++ === 0 ? "one" : Number.NaN; } },
  new Proxy([1, 2], { get: (target: any, key) => (key === "length" ? 3 : key === "map" || typeof key === "symbol" ? target[key] : 7) }),
  Object.defineProperty({ a: 1 }, "hidden", { value: 2 }),
  { toJSON: () => ({ said: forged }) },
  { [forged]: 1 },
  new Text("a"),
  new Proxy({ a: 1, b: 2 }, { ownKeys: () => ["a", "b", "a\u0000"].slice(0, 2) }),
  Object.create({ inherited: 1 }, { own: { value: 1, enumerable: true } }),
]);
