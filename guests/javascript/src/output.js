// Bytes for standard output and standard error: straight to the host.

import { emit } from "capsule:guest/host@0.1.0";

const CHUNK = 64 * 1024;
/** Bytes that are passed on in one call of the host, which keeps fewer of a whole run. */
const MOST = 16 * 1024 * 1024;

const encoder = new TextEncoder();
let passed = 0;

/** Writes bytes or text to a channel: 1 is standard output, 2 standard error. */
export function write(channel, data) {
  const bytes = typeof data === "string" ? encoder.encode(data) : data;
  for (let start = 0; start < bytes.length; start += CHUNK) {
    if (passed >= MOST) {
      // Nothing at all says that something was dropped.
      if (passed++ === MOST) emit(channel, new Uint8Array(0));
      return;
    }
    const end = Math.min(start + CHUNK, start + MOST - passed, bytes.length);
    emit(channel, bytes.subarray(start, end));
    passed += end - start;
  }
}

/** A call of the host is over. */
export function flush() {
  passed = 0;
}
