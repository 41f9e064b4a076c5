/** Bodies: read under a deadline, and sent under one. */

import type { Deadline } from "./deadline.js";
import { ProtocolError } from "./errors.js";
import { failure } from "./failure.js";

/** Longest answer that is held in memory. The server's own limits are lower. */
const MOST_ANSWER = 256 << 20;

/** All of a body as text. */
export async function textOf(response: Response, deadline: Deadline): Promise<string> {
  return new TextDecoder().decode(await bytesOf(response, deadline, MOST_ANSWER));
}

/** All of a body. */
export async function bytesOf(
  response: Response,
  deadline: Deadline,
  most: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const piece of piecesOf(response, deadline)) {
    size += piece.length;
    if (size > most) throw new ProtocolError(`the server's answer is longer than ${most} bytes`);
    pieces.push(piece);
  }
  const whole = new Uint8Array(size);
  let place = 0;
  for (const piece of pieces) {
    whole.set(piece, place);
    place += piece.length;
  }
  return whole;
}

/** A body as it comes. With `silenceMs`, each piece has so much time. */
export async function* piecesOf(
  response: Response,
  deadline: Deadline,
  silenceMs?: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    while (true) {
      if (silenceMs !== undefined) deadline.extend(silenceMs);
      const { done, value } = await deadline.race(reader.read());
      if (done) return;
      // Whoever reads may take time.
      if (silenceMs !== undefined) deadline.clear();
      yield value;
    }
  } catch (error) {
    throw failure(error, deadline, "the server");
  } finally {
    // What has not come yet is given up; nobody waits for that.
    reader.cancel().catch(() => {});
    deadline.clear();
  }
}

/** How many bytes a body that is no stream has, at most. */
export function sizeOf(body: BodyInit): number {
  if (typeof body === "string") return 4 * body.length;
  if (body instanceof Blob) return body.size;
  return ArrayBuffer.isView(body) || body instanceof ArrayBuffer ? body.byteLength : 0;
}

/** A stream that moves a deadline on with every piece. */
export function watchedStream(
  body: ReadableStream<Uint8Array>,
  deadline: Deadline,
  silenceMs: number,
  answerMs: number,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await reader.read();
        if (deadline.signal.aborted) {
          // Some go on reading what nobody waits for any more.
          reader.cancel().catch(() => {});
          throw deadline.signal.reason;
        }
        deadline.extend(done ? answerMs : silenceMs);
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
