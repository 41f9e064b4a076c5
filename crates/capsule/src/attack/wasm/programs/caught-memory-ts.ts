import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", ram: "64MB", timeout: "5s", compute: "MEDIUM" }, () => {
  const all: unknown[] = [];
  for (;;) {
    try {
      for (;;) all.push(new Uint8Array(1 << 16).fill(1));
    } catch {
      all.push([]);
    }
  }
});
