import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", ram: "64MB", compute: "HIGH" }, () => {
  const all: unknown[] = [];
  for (;;) all.push({ at: all.length, text: `number ${all.length}` });
});
