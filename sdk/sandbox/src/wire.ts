/** Between the names of the wire and those of TypeScript. */

import { ProtocolError } from "./errors.js";
import type { Created } from "./types.js";

/** What they hold is the user's, and keeps its names. */
const OPAQUE = new Set(["env", "labels", "metadata", "details", "weaker", "error"]);
/** What is not part of a call. */
const OURS = new Set(["deadlineMs", "signal"]);

const toSnake = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const toCamel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** Parameters, as the wire has them. What is not given is not sent. */
export function params(values: object): Record<string, unknown> {
  const named: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || OURS.has(name)) continue;
    named[toSnake(name)] = OPAQUE.has(name) ? value : inner(value);
  }
  return named;
}

function inner(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inner);
  return typeof value === "object" && value !== null ? params(value) : value;
}

/** An answer, as TypeScript has it; fields that end in `_at` are dates. */
export function answer<T>(value: unknown): T {
  return camel(value, "") as T;
}

/** A sandbox that was made. The wire leaves out an empty list. */
export function createdOf(value: unknown): Created {
  const created = answer<Created>(value);
  if (typeof created?.id !== "string")
    throw new ProtocolError("the server made a sandbox without an id");
  return { ...created, weaker: created.weaker ?? [] };
}

/** The same, with a field that has to be there. */
export function field<T>(value: unknown, name: string): T {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) {
    throw new ProtocolError(`the server answered without ${name}`);
  }
  return camel((value as Record<string, unknown>)[name], name) as T;
}

function camel(value: unknown, name: string): unknown {
  if (OPAQUE.has(name)) return value;
  if (typeof value === "string" && name.endsWith("_at")) {
    const date = new Date(value);
    if (Number.isNaN(date.getTime())) throw new ProtocolError(`the server's ${name} is no date`);
    return date;
  }
  if (Array.isArray(value)) return value.map((one) => camel(one, ""));
  if (typeof value !== "object" || value === null) return value;
  // A list, not an object that grows: a field may be called __proto__.
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [toCamel(key), camel(one, key)]),
  );
}

/** Bytes as base64. */
export function toBase64(data: Uint8Array): string {
  let text = "";
  // All at once would be too many arguments.
  for (let begin = 0; begin < data.length; begin += 0x8000) {
    text += String.fromCharCode(...data.subarray(begin, begin + 0x8000));
  }
  return btoa(text);
}

/** And back. */
export function fromBase64(text: unknown): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(String(text)), (letter) => letter.charCodeAt(0));
  } catch {
    throw new ProtocolError("the server sent output that is not base64");
  }
}
