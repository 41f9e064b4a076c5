import { task } from "@capsule-run/sdk";

const again: any = task({ name: "again", maxRetries: 3 }, (n: number) => Promise.all([again(n + 1), again(n + 1)]));

export const main = task({ name: "main", timeout: "5s", compute: "HIGH" }, () => again(0));
