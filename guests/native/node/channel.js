// Frames to and from the host: four bytes of length, the highest first, and JSON.
//
// As long as nothing was asked, nothing comes: frames are written on the spot. With the first
// question the channel becomes a stream of the event loop, which it keeps alive while an
// answer is awaited.

import { writeSync } from "node:fs";
import { Socket } from "node:net";

/** Bytes of one frame. */
export const MOST = 64 * 1024 * 1024;

const CHANNEL = 3;
const asked = new Map();
let last = 0;
let stream;
let isOver = false;

/** More than a frame can hold. */
export class TooLarge extends RangeError {
  constructor(what, size) {
    super(`${what} is ${size} bytes of JSON; the most is ${MOST}`);
    this.name = "TooLarge";
  }
}

/** The bytes of a frame of JSON text; `what` names it in the error. */
export function frame(text, what = "the message") {
  const size = Buffer.byteLength(text);
  if (size > MOST) throw new TooLarge(what, size);
  const bytes = Buffer.allocUnsafe(4 + size);
  bytes.writeUInt32BE(size, 0);
  bytes.write(text, 4);
  return bytes;
}

/** Sends one frame of what JSON can hold. */
export function send(message) {
  if (isOver) throw new Error("the task has returned");
  write(frame(JSON.stringify(message)), () => {});
}

/** Sends the last frame, and calls `then` when the host has it. */
export function finish(bytes, then) {
  isOver = true;
  write(bytes, then);
}

function write(bytes, then) {
  if (stream !== undefined) {
    stream.ref();
    stream.write(bytes, () => {
      rest();
      then();
    });
    return;
  }
  for (let at = 0; at < bytes.length; ) at += writeSync(CHANNEL, bytes, at);
  then();
}

/** Asks the host: the question's number, and a promise of what it says. */
export function ask(kind, question) {
  const id = ++last;
  const { promise, resolve } = withResolver();
  open();
  asked.set(id, resolve);
  try {
    send({ [kind]: { id, ...question } });
  } catch (error) {
    asked.delete(id);
    throw error;
  }
  return { number: id, answer: promise };
}

/** Nobody waits for this answer any more; false if it was there. The host ends what it does for it. */
export function forget(id) {
  if (!asked.delete(id)) return false;
  send({ cancel: { id } });
  return true;
}

/** Whether the loop has nothing of the host's to wait for. */
function rest() {
  if (asked.size === 0) stream.unref();
}

function open() {
  if (stream !== undefined) return stream.ref();
  stream = new Socket({ fd: CHANNEL, readable: true, writable: true });
  stream.on("data", hear);
  // The host is gone; so is this process in a moment.
  stream.on("error", () => {});
}

let parts = [];
let size = 0;

function hear(bytes) {
  parts.push(bytes);
  size += bytes.length;
  while (size >= 4) {
    if (parts[0].length < 4) gather();
    const length = parts[0].readUInt32BE(0);
    if (size < 4 + length) return;
    gather();
    const [all] = parts;
    answer(JSON.parse(all.toString("utf8", 4, 4 + length)).answer);
    const left = all.subarray(4 + length);
    parts = left.length > 0 ? [left] : [];
    size = left.length;
  }
}

/** Bytes are put together when they are a whole frame, and not with every piece that comes. */
function gather() {
  if (parts.length > 1) parts = [Buffer.concat(parts)];
}

function answer({ id, ...told }) {
  const resolve = asked.get(id);
  if (resolve === undefined) return;
  asked.delete(id);
  rest();
  resolve(told);
}

function withResolver() {
  let resolve;
  const promise = new Promise((given) => {
    resolve = given;
  });
  return { promise, resolve };
}
