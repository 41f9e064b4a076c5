/** Files of any size, a piece at a time. */

import { bytesOf, piecesOf } from "./body.js";
import type { Deadline } from "./deadline.js";
import { nodeFiles } from "./platform.js";

/** What can be uploaded. A page streams a `Blob` or a `File`; other platforms a stream, too. */
export type Source =
  | string
  | Uint8Array<ArrayBuffer>
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>;

/** It, as a body. */
export function bodyOf(source: Source): BodyInit {
  if (typeof source !== "object" || !(Symbol.asyncIterator in source)) return source as BodyInit;
  if (source instanceof ReadableStream) return source as ReadableStream<Uint8Array<ArrayBuffer>>;
  const pieces = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await pieces.return?.();
      },
    },
    { highWaterMark: 0 },
  ) as ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** The content of a file, as it comes: `for await` it. */
export class Download implements AsyncIterable<Uint8Array<ArrayBuffer>>, AsyncDisposable {
  /** Its length, if the server told it. */
  readonly size: number | undefined;
  readonly #response: Response;
  readonly #deadline: Deadline;
  readonly #silenceMs: number;

  constructor(response: Response, deadline: Deadline, silenceMs: number) {
    const length = response.headers.get("content-length");
    this.size = length === null ? undefined : Number(length);
    this.#response = response;
    this.#deadline = deadline;
    this.#silenceMs = silenceMs;
    // From here on whoever reads has the time.
    deadline.clear();
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    return piecesOf(this.#response, this.#deadline, this.#silenceMs);
  }

  /** All of it, in memory, within so many milliseconds. */
  async bytes(milliseconds: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#deadline.extend(milliseconds);
    return await bytesOf(this.#response, this.#deadline, Number.MAX_SAFE_INTEGER);
  }

  /** Gives up the rest. */
  close(): void {
    this.#deadline.abort();
    this.#response.body?.cancel().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

const PIECE = 256 * 1024;

/** A local file, a piece at a time. */
export async function* readLocal(
  path: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { open } = await nodeFiles();
  const file = await open(path, "r");
  try {
    while (true) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(PIECE), 0, PIECE, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead) as Uint8Array<ArrayBuffer>;
    }
  } finally {
    await file.close();
  }
}

/** Writes a download to a local file, which is then whole or not there. Gives the size. */
export async function saveLocal(download: Download, path: string): Promise<number> {
  const { open, rename, rm } = await nodeFiles();
  const beside = `${path}.${crypto.randomUUID().slice(0, 12)}`;
  const file = await open(beside, "wx");
  let size = 0;
  try {
    try {
      for await (const piece of download) {
        let left: Uint8Array = piece;
        while (left.length > 0) left = left.subarray((await file.write(left)).bytesWritten);
        size += piece.length;
      }
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  return size;
}
