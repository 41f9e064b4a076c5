/**
 * What can go wrong, as errors.
 *
 * ```text
 * CapsuleError
 * ├── TaskError           a task, or code that was evaluated, failed
 * │   └── SessionLost     a session lost what it held in memory
 * ├── DeniedError         the policy denies what was tried
 * └── WorkerError         Capsule itself could not do its work
 *     └── BinaryNotFound  there is no capsule binary
 * ```
 */

/** Base of every error that Capsule itself throws. */
export class CapsuleError extends Error {
  override readonly name: string = "CapsuleError";
  /** A stable code of `docs/errors/`, or empty. */
  readonly code: string;
  /** Whether the same request can succeed later. */
  readonly retryable: boolean;

  constructor(message: string, { code = "", retryable = false, cause }: ErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
  }
}

/** What is known of an error. */
export interface ErrorDetails {
  code?: string;
  retryable?: boolean;
  cause?: unknown;
}

/** What is known of a task that failed. */
export interface TaskErrorDetails extends ErrorDetails {
  task?: string;
  errorType?: string;
  hint?: string;
  traceback?: string;
}

/** A task failed. */
export class TaskError extends CapsuleError {
  override readonly name: string = "TaskError";
  /** The task's name. */
  readonly task: string;
  /** What ended it: the error's name, or Capsule's own word (`"Timeout"`, `"FuelExhausted"`, …). */
  readonly errorType: string;
  /** What to do about it; may be empty. */
  readonly hint: string;
  /** The stack of the task's own code; may be empty. */
  readonly traceback: string;

  constructor(message: string, details: TaskErrorDetails = {}) {
    const { code = "", task = "", errorType = "", hint = "", traceback = "" } = details;
    // An error or a crash may not come again; a limit will.
    super(message, { retryable: code === "E3008" || code === "E3009", ...details });
    this.task = task;
    this.errorType = errorType;
    this.hint = hint;
    this.traceback = traceback;
  }
}

/** A session lost what it held in memory; `reset()` begins anew. */
export class SessionLost extends TaskError {
  override readonly name = "SessionLost";
}

/** The policy denies what was tried. The message names the option to set. */
export class DeniedError extends CapsuleError {
  override readonly name = "DeniedError";
}

/** Capsule itself could not do its work: the worker ended, or did not understand. */
export class WorkerError extends CapsuleError {
  override readonly name: string = "WorkerError";
  /** What to do about it; may be empty. */
  readonly hint: string;

  constructor(message: string, { hint = "", ...details }: ErrorDetails & { hint?: string } = {}) {
    super(hint === "" ? message : `${message}\nhint: ${hint}`, details);
    this.hint = hint;
  }
}

/** There is no capsule binary where it was looked for. */
export class BinaryNotFound extends WorkerError {
  override readonly name = "BinaryNotFound";
}
