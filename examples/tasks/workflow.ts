/**
 * A workflow: parallel sub-tasks, a retry that helps, a timeout, a denied host and file.
 *
 *     capsule run examples/tasks/workflow.ts
 *
 * Each call of a task runs in a sandbox of its own. `--verbose` tells what happens.
 */

import { readFile } from "node:fs/promises";

import { TaskError, task } from "@capsule-run/sdk";

/** Primes in a range, slowly, so that there is something to share out. */
const countPrimes = task(
  { name: "count_primes", compute: "LOW", ram: "64MB" },
  (low: number, high: number): number => {
    let count = 0;
    for (let n = Math.max(low, 2); n < high; n++) {
      let divisor = 2;
      while (divisor * divisor <= n && n % divisor !== 0) divisor++;
      if (divisor * divisor > n) count++;
    }
    return count;
  },
);

/** Stands for a service that is not up yet: the first attempts fail. */
const fetchSoon = task(
  { name: "fetch", compute: "LOW", ram: "64MB", maxRetries: 5 },
  (readyAt: number): string => {
    if (Date.now() < readyAt) throw new Error("not up yet");
    return "the service answered";
  },
);

const endless = task({ name: "endless", compute: "LOW", ram: "64MB", timeout: "300ms" }, (): void => {
  while (true);
});

const curious = task(
  { name: "curious", compute: "LOW", ram: "64MB", allowedHosts: ["api.example.com"] },
  async () => (await fetch("http://example.org/")).text(),
);

const burglar = task({ name: "burglar", compute: "LOW", ram: "64MB" }, () => readFile("/etc/passwd", "utf8"));

/** What came of a call. */
async function attempt(call: Promise<unknown>): Promise<unknown> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof TaskError) return error.message;
    throw error;
  }
}

export const main = task({ name: "main" }, async () => {
  const lows = [0, 2500, 5000, 7500, 10_000, 12_500, 15_000, 17_500];
  const counts = await Promise.all(lows.map((low) => countPrimes(low, low + 2500)));
  const primes = counts.reduce((sum, count) => sum + count);
  console.log(`${primes} primes below 20000, counted by ${lows.length} sandboxes`);
  console.log("retry:", await attempt(fetchSoon(Date.now() + 250)));
  console.log("timeout:", await attempt(endless()));
  console.log("host:", await attempt(curious()));
  console.log("file:", await attempt(burglar()));
  return primes;
});
