/**
 * What can go wrong, as errors.
 *
 * ```text
 * CapsuleError
 * ├── ConnectionFailed        the server cannot be reached, or the connection broke off
 * ├── DeadlineExceeded        a call took too long
 * ├── ProtocolError           what answers does not speak as a Capsule server does
 * ├── CommandFailed           check(): the command failed
 * └── RequestRefused          the server answered with an error
 *     ├── InvalidRequest      PARSE_ERROR, INVALID_REQUEST
 *     ├── MethodNotFound
 *     ├── InvalidParams
 *     ├── NotFound
 *     ├── CreateFailed        CONTAINER_CREATE_FAILED
 *     ├── ExecFailed
 *     │   └── ExecTimeout
 *     ├── DeleteFailed
 *     ├── FileFailed
 *     │   ├── WriteFileFailed
 *     │   ├── ReadFileFailed
 *     │   └── ListDirFailed
 *     ├── WrongState
 *     ├── LimitReached
 *     ├── NotAuthorized
 *     ├── ForeignOrigin
 *     ├── ShuttingDown
 *     └── InternalError
 * ```
 */

import type { ExecResult } from "./types.js";

/** Base of every error that this package throws. */
export class CapsuleError extends Error {
  override readonly name: string = "CapsuleError";
  /** A stable code of `docs/errors/` if the server told one, or empty. */
  readonly code: string = "";
  /** What to do about it; may be empty. */
  readonly hint: string = "";
  /** Whether the same call can succeed later. */
  readonly retryable: boolean = false;
  /** The name under which the call stands in the server's log. */
  requestId = "";
}

/** The server cannot be reached, or the connection broke off. */
export class ConnectionFailed extends CapsuleError {
  override readonly name = "ConnectionFailed";
  /** Whether the server cannot have heard of the call. */
  readonly nothingSent: boolean;
  override readonly retryable: boolean;

  constructor(
    message: string,
    { nothingSent = false, cause }: { nothingSent?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.nothingSent = nothingSent;
    this.retryable = nothingSent;
  }
}

/**
 * A call took longer than its deadline, or a stream said nothing for too long. Whether the
 * server did what was asked is not known.
 */
export class DeadlineExceeded extends CapsuleError {
  override readonly name = "DeadlineExceeded";
  override readonly hint = "give the call a longer deadlineMs, or look at the server";
}

/** What answers does not speak as a Capsule server does. */
export class ProtocolError extends CapsuleError {
  override readonly name = "ProtocolError";
}

/** A command ended with another exit code than 0, or at its timeout. */
export class CommandFailed extends CapsuleError {
  override readonly name = "CommandFailed";
  readonly result: ExecResult;

  constructor(result: ExecResult) {
    const how = result.timedOut ? "did not end in time" : `ended with exit code ${result.exitCode}`;
    const last = result.stderr.trim().split("\n").pop();
    super(`the command ${how}${last ? `: ${last}` : ""}`);
    this.result = result;
  }
}

/** What the server says of an error. */
export interface Refusal {
  message: string;
  rpcCode: number;
  type: string;
  retryable: boolean;
  details: Record<string, string>;
}

/** The server answered with an error. */
export class RequestRefused extends CapsuleError {
  override readonly name: string = "RequestRefused";
  override readonly code: string;
  override readonly hint: string;
  override readonly retryable: boolean;
  /** The code of JSON-RPC, such as -32002. */
  readonly rpcCode: number;
  /** Its name, such as `"NOT_FOUND"`. */
  readonly type: string;
  /** What else the server said. */
  readonly details: Readonly<Record<string, string>>;

  constructor({ message, rpcCode, type, retryable, details }: Refusal) {
    super(message);
    this.rpcCode = rpcCode;
    this.type = type;
    this.retryable = retryable;
    this.details = details;
    this.code = details["error_code"] ?? "";
    this.hint = details["hint"] ?? "";
  }
}

/** The server cannot read the request. */
export class InvalidRequest extends RequestRefused {
  override readonly name = "InvalidRequest";
}

/** The server has no such method; it may be older than this package. */
export class MethodNotFound extends RequestRefused {
  override readonly name = "MethodNotFound";
}

/** A parameter is missing, unknown or out of range. */
export class InvalidParams extends RequestRefused {
  override readonly name = "InvalidParams";
}

/** There is no such sandbox, process or context. */
export class NotFound extends RequestRefused {
  override readonly name = "NotFound";
}

/** The sandbox could not be made. */
export class CreateFailed extends RequestRefused {
  override readonly name = "CreateFailed";
}

/** The process could not be started or reached. */
export class ExecFailed extends RequestRefused {
  override readonly name: string = "ExecFailed";
}

/** The process did not start, or did not read its input, in time. */
export class ExecTimeout extends ExecFailed {
  override readonly name = "ExecTimeout";
}

/** Something of the sandbox could not be removed; the server goes on trying. */
export class DeleteFailed extends RequestRefused {
  override readonly name = "DeleteFailed";
}

/** A file or directory could not be changed or told about. */
export class FileFailed extends RequestRefused {
  override readonly name: string = "FileFailed";
}

/** The file could not be written. */
export class WriteFileFailed extends FileFailed {
  override readonly name = "WriteFileFailed";
}

/** The file could not be read. */
export class ReadFileFailed extends FileFailed {
  override readonly name = "ReadFileFailed";
}

/** The directory could not be listed. */
export class ListDirFailed extends FileFailed {
  override readonly name = "ListDirFailed";
}

/** The sandbox is in a state in which this cannot be done. */
export class WrongState extends RequestRefused {
  override readonly name = "WrongState";
}

/** A limit of the server was reached. */
export class LimitReached extends RequestRefused {
  override readonly name = "LimitReached";
}

/** The request carries no API key that the server knows. */
export class NotAuthorized extends RequestRefused {
  override readonly name = "NotAuthorized";
}

/** The server takes the request for one of a foreign page, or has another name. */
export class ForeignOrigin extends RequestRefused {
  override readonly name = "ForeignOrigin";
}

/** The server is about to stop. */
export class ShuttingDown extends RequestRefused {
  override readonly name = "ShuttingDown";
}

/** The server failed. */
export class InternalError extends RequestRefused {
  override readonly name = "InternalError";
}

const KINDS: ReadonlyMap<number, new (refusal: Refusal) => RequestRefused> = new Map([
  [-32700, InvalidRequest],
  [-32600, InvalidRequest],
  [-32601, MethodNotFound],
  [-32603, InternalError],
  [-32001, InvalidParams],
  [-32002, NotFound],
  [-32003, CreateFailed],
  [-32004, ExecTimeout],
  [-32005, ExecFailed],
  [-32007, DeleteFailed],
  [-32008, WriteFileFailed],
  [-32009, ReadFileFailed],
  [-32010, ListDirFailed],
  [-32011, FileFailed],
  [-32012, WrongState],
  [-32013, LimitReached],
  [-32014, NotAuthorized],
  [-32015, ForeignOrigin],
  [-32016, ShuttingDown],
]);

/** The error for an error object of the wire. */
export function refusalOf(error: unknown): CapsuleError {
  const { code, message, data } = asObject(error);
  if (typeof code !== "number")
    return new ProtocolError("the server answered with an error that is none");
  const { type, retryable, details } = asObject(data);
  const told: Record<string, string> = {};
  for (const [name, value] of Object.entries(asObject(details))) told[name] = String(value);
  const Kind = KINDS.get(code) ?? RequestRefused;
  return new Kind({
    message: String(message ?? ""),
    rpcCode: code,
    type: String(type ?? ""),
    retryable: retryable === true,
    details: told,
  });
}

/** A value as an object; an empty one if it is none. */
export function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
