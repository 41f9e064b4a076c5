import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", timeout: "300ms", compute: "HIGH" }, async () => {
  setInterval(() => {}, 0);
  const again = () => setImmediate(again);
  again();
  setTimeout(() => {}, 2 ** 31 - 1);
  await new Promise(() => {});
});
