// A project in two languages; this half is in TypeScript: `capsule run main.ts`.

import { TaskError, task, taskOf } from "@capsule-run/sdk";

interface Summary {
  mean: number;
  median: number;
}

const summary = taskOf<[numbers: number[]], Summary>("analyse", "summary");
const histogram = taskOf<[numbers: number[]], string[]>("analyse", "histogram");

export const bar = task({ name: "bar" }, ([number, count]: [number, number]): string =>
  `${String(number).padStart(2)} ${"#".repeat(count)}`,
);

export const main = task({ name: "main" }, async () => {
  const numbers = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
  const [{ mean, median }, bars] = await Promise.all([summary(numbers), histogram(numbers)]);
  console.log(`mean ${mean.toFixed(2)}, median ${median}`);
  for (const line of bars) console.log(line);
  try {
    await summary([]);
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    console.log(`of nothing: ${error.task}: ${error.errorType}`);
  }
  return median;
});
