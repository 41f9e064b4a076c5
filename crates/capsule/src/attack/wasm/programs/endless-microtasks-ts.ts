import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", timeout: "300ms", compute: "HIGH" }, async () => {
  const next = (): Promise<unknown> => Promise.resolve().then(next);
  queueMicrotask(function again() {
    queueMicrotask(again);
    process.nextTick(again);
  });
  await next();
});
