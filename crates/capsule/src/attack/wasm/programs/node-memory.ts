import { task } from "@capsule-run/sdk";

const hold = task({ name: "hold", isolation: "jail", ram: "128MB", timeout: "40s", compute: "HIGH" }, async () => {
  const { Worker } = await import("node:worker_threads");
  for (let n = 0; n < 4; n++) new Worker("const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))", { eval: true, resourceLimits: { maxOldGenerationSizeMb: 1 << 16 } });
  const all = [];
  for (;;) {
    all.push(Buffer.alloc(1 << 20, 1));
    await new Promise((resolve) => setImmediate(resolve));
  }
});

export const main = task({ name: "main", timeout: "50s" }, () => hold());
