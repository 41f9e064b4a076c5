/** The smallest program: `capsule run hello.ts`. */

import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", compute: "LOW", ram: "64MB" }, (): string => {
  return "Hello from Capsule!";
});
