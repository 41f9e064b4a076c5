// `@capsule-run/sdk`, as a program sees it inside a sandbox.

export { BinaryNotFound, CapsuleError, DeniedError, SessionLost, TaskError, WorkerError } from "./errors.js";
export { files } from "./files/sdk.js";
export { task, taskOf } from "./task.js";
