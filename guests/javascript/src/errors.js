// The errors that programs see, and can catch.

/** Base of all that Capsule itself throws. */
export class CapsuleError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A task that was called failed. */
export class TaskError extends CapsuleError {
  constructor(message, { task = "", errorType = "", traceback = "" } = {}) {
    super(message);
    this.task = task;
    this.errorType = errorType;
    this.traceback = traceback;
  }
}

/** The policy denies what was tried; the message names the option to set. */
export class DeniedError extends CapsuleError {
  constructor(message) {
    super(message);
    this.code = "EACCES";
  }
}
