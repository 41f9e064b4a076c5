/**
 * Outside of a sandbox a call of a task is a call of its function.
 *
 * A test that calls a task sees the function's own error. A task that calls another one sees
 * what it would see in a sandbox: a failure is a TaskError.
 */

import { AsyncLocalStorage } from "node:async_hooks";

import { CapsuleError, TaskError } from "./errors.js";
import type { Submission } from "./task.js";

/** Whether a task is running, which then calls. */
const inside = new AsyncLocalStorage<true>();

/** Calls a function as a task; it has begun when this returns. */
export function begin<R>(
  name: string,
  run: () => unknown,
  signal: AbortSignal | undefined,
): Submission<R> {
  signal?.throwIfAborted();
  const isNested = inside.getStore() === true;
  let isOver = false;
  let giveUp: (reason: unknown) => void = () => {};
  const value = new Promise<R>((resolve, reject) => {
    giveUp = reject;
    const aborted = () => reject(signal?.reason);
    signal?.addEventListener("abort", aborted, { once: true });
    const settle = () => {
      isOver = true;
      signal?.removeEventListener("abort", aborted);
    };
    inside
      .run(true, async () => run())
      .then(
        (value) => {
          settle();
          resolve(value as R);
        },
        (error: unknown) => {
          settle();
          reject(isNested ? failed(name, error) : error);
        },
      );
  });
  const cancel = () => {
    if (isOver) return false;
    isOver = true;
    const details = { task: name, errorType: "Cancelled" };
    giveUp(new TaskError(`task "${name}" was cancelled`, details));
    return true;
  };
  return Object.defineProperty(value, "cancel", { value: cancel }) as Submission<R>;
}

function failed(name: string, error: unknown): unknown {
  if (error instanceof CapsuleError) return error;
  const errorType = error instanceof Error ? error.name : typeof error;
  const message = error instanceof Error ? error.message : String(error);
  const traceback = error instanceof Error ? (error.stack ?? "") : "";
  return new TaskError(`task "${name}" failed: ${errorType}: ${message}`, {
    task: name,
    errorType,
    code: "E3008",
    traceback,
    cause: error,
  });
}
