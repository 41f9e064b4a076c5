// An error as three texts: its kind, its message, its traceback.
//
// Everything here runs on what a hostile program threw, so nothing is trusted to work.

import { inspect } from "./inspect.js";
import { advice } from "./missing.js";
import { HostFailure } from "./operations.js";
import { frames, stackOf } from "./stack.js";

const MOST = 64 * 1024;

/** What the interface calls a failure. */
export function of(error) {
  try {
    if (error instanceof HostFailure) {
      return { kind: error.kind, message: error.message, detail: error.detail };
    }
    return { kind: kindOf(error), message: messageOf(error), detail: traceback(error) };
  } catch {
    return { kind: "Error", message: "an error that cannot be described", detail: "" };
  }
}

const isError = (error) => error instanceof Error || error instanceof DOMException;

/** Which of its errors the engine means to be out of memory; some are not even objects. */
function isOutOfMemory(error) {
  if (error === "out of memory") return true;
  return error instanceof Error && /^(out of memory|allocation size overflow)$/.test(error.message);
}

function kindOf(error) {
  if (isOutOfMemory(error)) return "MemoryError";
  if (!isError(error)) return "Thrown";
  const name = error.name;
  return typeof name === "string" && name !== "" ? name.slice(0, 200).toWellFormed() : "Error";
}

function messageOf(error) {
  if (isOutOfMemory(error)) return "out of memory";
  const said = isError(error) ? String(error.message) : inspect(error);
  const text = said + advice(error, said);
  return text.slice(0, MOST).toWellFormed();
}

/** Frames of the user's code alone; of the causes, too. */
export function traceback(error) {
  const parts = [];
  const seen = new Set();
  let prefix = "";
  for (let one = error; isError(one) && !seen.has(one) && seen.size < 8; one = one.cause) {
    seen.add(one);
    const places = frames(stackOf(one));
    if (prefix !== "" || places.length > 0) {
      parts.push(`${prefix}${kindOf(one)}: ${messageOf(one)}`, ...places);
    }
    prefix = "caused by ";
  }
  if (parts.length === 0) return "";
  const text = `${parts.join("\n")}\n`;
  if (text.length <= MOST) return text;
  return `${text.slice(0, MOST / 2)}\n…\n${text.slice(-MOST / 2)}`.toWellFormed();
}
