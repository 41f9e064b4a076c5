/** What it means that there is no answer, in the words of each platform. */

import type { Deadline } from "./deadline.js";
import { CapsuleError, ConnectionFailed } from "./errors.js";

/** What a request that was not answered means. */
export function failure(error: unknown, deadline: Deadline, where: string): unknown {
  if (deadline.signal.aborted) return deadline.signal.reason;
  if (error instanceof CapsuleError) return error;
  const causes = causesOf(error);
  const nothingSent = causes.some(isOfConnecting);
  const told = causes.map((one) => String((one as Error).message ?? "")).filter(Boolean);
  const last = told.pop() ?? String(error);
  const how = nothingSent ? "cannot be reached" : "the connection broke off";
  return new ConnectionFailed(`${where}: ${how}: ${last}`, { nothingSent, cause: error });
}

function causesOf(error: unknown): object[] {
  if (typeof error !== "object" || error === null) return [];
  const { cause, errors } = error as { cause?: unknown; errors?: unknown };
  return [error, ...causesOf(cause), ...(Array.isArray(errors) ? errors.flatMap(causesOf) : [])];
}

const CONNECTING = new Set([
  "ECONNREFUSED",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  // Bun.
  "ConnectionRefused",
  "FailedToOpenSocket",
]);

/** Whether it happened before anything was sent. A browser does not tell. */
function isOfConnecting(error: object): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  // Deno has words only.
  return CONNECTING.has(String(code)) || /client error \(Connect\)/.test(String(message));
}
