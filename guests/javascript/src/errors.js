// The errors that programs see, and can catch: those of sdk/typescript.

/** Base of all that Capsule itself throws. */
export class CapsuleError extends Error {
  constructor(message, { code = "", retryable = false, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "CapsuleError";
    this.code = code;
    this.retryable = retryable;
  }
}

/** A task that was called failed. */
export class TaskError extends CapsuleError {
  constructor(message, { task = "", errorType = "", hint = "", traceback = "", ...details } = {}) {
    super(message, details);
    this.name = "TaskError";
    Object.assign(this, { task, errorType, hint, traceback });
  }
}

/** A session lost what it held in memory: outside of sandboxes only. */
export class SessionLost extends TaskError {
  constructor(message, details) {
    super(message, details);
    this.name = "SessionLost";
  }
}

/** The policy denies what was tried; the message names the option to set. */
export class DeniedError extends CapsuleError {
  constructor(message, details) {
    // The host spells options as Python does.
    super(message.replace("allowed_hosts=[", "allowedHosts: ["), details);
    this.name = "DeniedError";
  }
}

/** Capsule itself failed: outside of sandboxes only, where programs are run from. */
export class WorkerError extends CapsuleError {
  constructor(message, details) {
    super(message, details);
    this.name = "WorkerError";
  }
}

/** There is no capsule binary: outside of sandboxes only. */
export class BinaryNotFound extends WorkerError {
  constructor(message, details) {
    super(message, details);
    this.name = "BinaryNotFound";
  }
}
