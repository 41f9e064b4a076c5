import { task } from "@capsule-run/sdk";

const square = task({ name: "square", compute: "LOW" }, async (n: number) => n * n);

export const main = task({ name: "main", compute: "LOW", ram: "64MB" }, async () =>
  Promise.all([1, 2, 3].map((n) => square(n))),
);
