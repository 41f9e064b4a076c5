/**
 * Capsule: run code that nobody has read yet, and let it do no harm.
 *
 * ```ts
 * import { task } from "@capsule-run/sdk";
 *
 * export const main = task({ name: "main", compute: "LOW", ram: "64MB" }, (): string => {
 *   return "Hello from Capsule!";
 * });
 * ```
 *
 * `capsule run hello.ts` runs `main` in a WebAssembly sandbox; so does `run()` of
 * `@capsule-run/sdk/runner`, from another program.
 */

export {
  BinaryNotFound,
  CapsuleError,
  DeniedError,
  type ErrorDetails,
  SessionLost,
  TaskError,
  type TaskErrorDetails,
  WorkerError,
} from "./errors.js";
export { type Files, files } from "./files.js";
export {
  type AllowedFile,
  type CallOptions,
  type Submission,
  type Task,
  type TaskOptions,
  task,
  taskOf,
} from "./task.js";
