/** What comes back. */

import { DeniedError, SessionLost, TaskError, WorkerError } from "./errors.js";
import { type Frame, textOf } from "./protocol.js";
import { decode } from "./values.js";

/** One request of a task to a host. */
export interface HostRequest {
  /** `GET` and so on. */
  method: string;
  /** Where to. */
  url: string;
  /** The status that came back; null if none did. */
  status: number | null;
  /** Whether the policy let it pass. */
  allowed: boolean;
}

/** How a run went. */
export interface Execution {
  task_name: string;
  /** Wall time, all attempts together. */
  duration_ms: number;
  /** Attempts after the first. */
  retries: number;
  /** Fuel that it and everything it called used. */
  fuel_consumed: number;
  /** The most memory that its sandbox had, in bytes. */
  ram_used: number;
  /** The requests that it made, and those that were refused. */
  host_requests: HostRequest[];
  /** There, and true, if output was dropped because there was too much. */
  output_truncated?: boolean;
}

/** Why a task failed. */
export interface ErrorInfo {
  /** The error's name, or Capsule's word: `Timeout`, `FuelExhausted`, … */
  error_type: string;
  /** One sentence or more. */
  message: string;
  /** A stable code of `docs/errors/`. */
  code: string;
  /** What to do about it, if something is known. */
  hint?: string;
  /** The stack of the task's own code, if it had one. */
  traceback?: string;
}

/** The envelope of a run. */
export type Result<R = unknown> =
  | { success: true; result: R; error: null; execution: Execution }
  | { success: false; result: null; error: ErrorInfo; execution: Execution };

/** What code printed, and the value of its last expression. */
export interface Evaluation {
  stdout: string;
  stderr: string;
  /** The value of the last expression; its text where JSON would change it. */
  value: unknown;
  execution: Execution;
  /** What was printed, and after it the value. */
  toString(): string;
}

/** The envelope in an answer. */
export function envelope<R>(frame: Frame): Result<R> {
  return read(frame).envelope as Result<R>;
}

/** What code came to; its failure is thrown. */
export function evaluation(frame: Frame, stdout: string, stderr: string): Evaluation {
  const { error, result: value, execution } = envelope(frame);
  if (error !== null) {
    if (error.error_type === "CapsuleError" || error.error_type === "Denied") throw refusal(error);
    const kind = error.error_type === "SessionLost" ? SessionLost : TaskError;
    throw new kind(`${error.error_type}: ${error.message}`, {
      task: execution.task_name,
      errorType: error.error_type,
      code: error.code,
      hint: error.hint ?? "",
      traceback: error.traceback ?? "",
    });
  }
  const asText = () => {
    const printed = stdout === "" ? [] : [stdout.replace(/\n$/, "")];
    const shown = typeof value === "string" ? value : JSON.stringify(value);
    return [...printed, ...(value === null || value === undefined ? [] : [shown])].join("\n");
  };
  return { stdout, stderr, value, execution, toString: asText };
}

/** That it was done; a refusal is thrown. */
export function done(frame: Frame): void {
  read(frame);
}

interface Refused {
  code: string;
  message: string;
  hint?: string | null;
}

const LATER = new Set(["E2007", "E3007", "E6001", "E6002"]);

/** What Capsule refused, as an error. */
function refusal({ code, message, hint }: Refused): Error {
  if (code.startsWith("E5"))
    return new DeniedError(hint ? `${message}\nhint: ${hint}` : message, { code });
  return new WorkerError(message, { code, hint: hint ?? "", retryable: LATER.has(code) });
}

function read({ bytes }: Frame): { envelope?: unknown } {
  let answer: { envelope?: unknown; error?: Refused };
  try {
    answer = decode(textOf(bytes)) as typeof answer;
  } catch (error) {
    // JSON that this engine cannot hold: a guest may return any.
    throw new WorkerError(`the answer cannot be read: ${String(error)}`);
  }
  if (answer.error !== undefined) throw refusal(answer.error);
  return answer;
}
