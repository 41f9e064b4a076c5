/** Frames of `capsule worker`: four bytes of length, big-endian, and as much JSON. */

/** The largest frame, either way. */
export const MOST = 64 * 1024 * 1024;
/** The version that this package speaks. */
export const PROTOCOL = 1;

/** Where a task prints to. */
export type Channel = "stdout" | "stderr";

/**
 * A frame that came in: whom it is for, and its JSON, not read yet.
 *
 * What a guest returned is in there. It is read by the one who asked for it, so that nothing
 * it may hold can disturb the others.
 */
export interface Frame {
  request: number | undefined;
  isOutput: boolean;
  bytes: Uint8Array;
}

/** A frame to send. */
export function pack(body: string): Uint8Array {
  const length = Buffer.byteLength(body);
  if (length > MOST) {
    throw new RangeError(
      `the request has ${length} bytes; at most ${MOST} can be sent: pass a file instead`,
    );
  }
  const frame = Buffer.allocUnsafe(4 + length);
  frame.writeUInt32BE(length);
  frame.write(body, 4);
  return frame;
}

/** Bytes that came in, until they are frames. */
export class Incoming {
  #pieces: Buffer[] = [];
  #length = 0;

  /** The frames that are whole now. */
  *add(data: Uint8Array): Generator<Frame> {
    this.#pieces.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    this.#length += data.length;
    while (this.#length >= 4) {
      const length = this.#front(4).readUInt32BE();
      if (length > MOST) throw new Error("the worker sent something else than frames");
      if (this.#length < 4 + length) return;
      const all = this.#front(4 + length);
      const bytes = all.subarray(4, 4 + length);
      const rest = all.subarray(4 + length);
      this.#pieces[0] = rest;
      if (rest.length === 0) this.#pieces.shift();
      this.#length -= 4 + length;
      yield frame(bytes);
    }
  }

  /** The first piece, made as long as this. A frame that grows is joined once, when it is whole. */
  #front(length: number): Buffer {
    const first = this.#pieces[0];
    if (first !== undefined && first.length >= length) return first;
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }
}

function frame(bytes: Buffer): Frame {
  // The worker writes the id first, as a plain number.
  const head = /^\{"id":(\d{1,15}),("output":)?/.exec(bytes.toString("latin1", 0, 40));
  if (head === null) return { request: undefined, isOutput: false, bytes };
  return { request: Number(head[1]), isOutput: head[2] !== undefined, bytes };
}

/** The text of bytes in UTF-8. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

/** Where a frame of output goes, and what was printed. */
export function piece({ bytes }: Frame): [Channel, Uint8Array] {
  const { output } = JSON.parse(textOf(bytes)) as {
    output: { channel: string; text?: string; base64?: string };
  };
  const channel = output.channel === "stderr" ? "stderr" : "stdout";
  const { base64, text = "" } = output;
  return [channel, base64 === undefined ? Buffer.from(text) : Buffer.from(base64, "base64")];
}
