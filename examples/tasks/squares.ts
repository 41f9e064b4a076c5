/** A task that calls another, three times at once: `capsule run squares.ts`. */

import { task } from "@capsule-run/sdk";

const square = task({ name: "square", compute: "LOW", ram: "64MB" }, (n: number): number => n * n);

export const main = task({ name: "main", compute: "LOW", ram: "64MB" }, () => square.map([1, 2, 3]));
