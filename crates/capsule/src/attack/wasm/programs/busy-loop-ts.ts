import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", timeout: "300ms", compute: "HIGH" }, () => {
  for (;;) {
    try {
      for (;;);
    } finally {
      continue;
    }
  }
});
