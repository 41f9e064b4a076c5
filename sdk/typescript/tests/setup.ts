/** What the tests of the worker stand on. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** The binary under test; tests/npm/run.sh names it. */
export const binary = process.env["CAPSULE_BIN"];

/** Children of this process that are workers. */
export function workers(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
  return children.split(" ").filter(Boolean).map(Number);
}

/** What a process has burnt, in seconds. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").pop()?.split(" ") ?? [];
  const ticks = Number(execFileSync("getconf", ["CLK_TCK"]).toString());
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

/** Waits until something is so, and complains if it never is. */
export async function until(what: string, is: () => boolean, milliseconds = 5000): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!is()) {
    if (Date.now() > end) throw new Error(`not ${what} after ${milliseconds} ms`);
    await new Promise((done) => setTimeout(done, 10));
  }
}
