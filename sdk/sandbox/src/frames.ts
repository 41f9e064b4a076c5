/** The frames of a WebSocket (RFC 6455), seen from the client. Does no I/O. */

import { ProtocolError } from "./errors.js";

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** Longest message; the server's are 1 MiB at most. */
const MOST = 16 << 20;

/** A whole message, or a control frame. */
export interface Frame {
  kind: number;
  data: Uint8Array<ArrayBuffer>;
}

/** A frame as a client sends it: masked, so that no proxy takes it for something else. */
export function pack(kind: number, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const size = data.length;
  const wide = size < 126 ? 0 : size < 65_536 ? 2 : 8;
  const frame = new Uint8Array(2 + wide + 4 + size);
  const view = new DataView(frame.buffer);
  frame[0] = 0x80 | kind;
  frame[1] = 0x80 | (wide === 0 ? size : wide === 2 ? 126 : 127);
  if (wide === 2) view.setUint16(2, size);
  if (wide === 8) view.setBigUint64(2, BigInt(size));
  const mask = crypto.getRandomValues(new Uint8Array(4));
  const begin = 2 + wide + 4;
  frame.set(mask, begin - 4);
  for (let place = 0; place < size; place++) {
    frame[begin + place] = (data[place] ?? 0) ^ (mask[place & 3] ?? 0);
  }
  return frame;
}

/** What has come of a socket. */
export class Incoming {
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array();
  #kind = 0;
  #parts: Uint8Array<ArrayBuffer>[] = [];
  #size = 0;

  /** Takes what was read, and gives what is complete. */
  *add(piece: Uint8Array): Generator<Frame> {
    this.#rest = joined([this.#rest, piece]);
    for (let found = this.#next(); found !== undefined; found = this.#next()) {
      const { isLast, kind, data } = found;
      if (kind >= CLOSE) {
        yield { kind, data };
        continue;
      }
      if ((kind === 0) !== (this.#kind !== 0)) {
        throw new ProtocolError("the server sent the parts of a message in disorder");
      }
      this.#kind ||= kind;
      this.#parts.push(data);
      this.#size += data.length;
      if (this.#size > MOST) throw new ProtocolError("the server sent a message without end");
      if (isLast) {
        const whole = { kind: this.#kind, data: joined(this.#parts) };
        [this.#kind, this.#parts, this.#size] = [0, [], 0];
        yield whole;
      }
    }
  }

  #next(): (Frame & { isLast: boolean }) | undefined {
    const rest = this.#rest;
    const [first, second] = rest;
    if (first === undefined || second === undefined) return undefined;
    // Reserved bits belong to extensions, and a server does not mask.
    if (first & 0x70 || second & 0x80)
      throw new ProtocolError("the server sent a frame that is none");
    const wide = second < 126 ? 0 : second === 126 ? 2 : 8;
    const begin = 2 + wide;
    if (rest.length < begin) return undefined;
    const view = new DataView(rest.buffer, rest.byteOffset);
    const size =
      wide === 0 ? second : wide === 2 ? view.getUint16(2) : Number(view.getBigUint64(2));
    if (size > MOST) throw new ProtocolError("the server sent a frame without end");
    if (rest.length < begin + size) return undefined;
    this.#rest = rest.subarray(begin + size);
    return {
      isLast: (first & 0x80) !== 0,
      kind: first & 0x0f,
      data: rest.slice(begin, begin + size),
    };
  }
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}
