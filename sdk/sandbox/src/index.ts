/// <reference lib="esnext.disposable" preserve="true" />
/** Sandboxes that live on, behind `capsule serve`. */

import "./dispose.js";

export { CapsuleClient } from "./client.js";
export {
  CapsuleError,
  CommandFailed,
  ConnectionFailed,
  CreateFailed,
  DeadlineExceeded,
  DeleteFailed,
  ExecFailed,
  ExecTimeout,
  FileFailed,
  ForeignOrigin,
  InternalError,
  InvalidParams,
  InvalidRequest,
  LimitReached,
  ListDirFailed,
  MethodNotFound,
  NotAuthorized,
  NotFound,
  ProtocolError,
  ReadFileFailed,
  RequestRefused,
  ShuttingDown,
  WriteFileFailed,
  WrongState,
} from "./errors.js";
export type { Changes, Output, States, Stream } from "./events.js";
export type { Download, Source } from "./files.js";
export { Process } from "./process.js";
export { Sandbox as Capsule, Sandbox } from "./sandbox.js";
export type {
  Terminal,
  TerminalClose,
  TerminalFailure,
  TerminalMessage,
  TerminalOptions,
} from "./terminal.js";
export type { ClientOptions } from "./transport.js";
export type * from "./types.js";
