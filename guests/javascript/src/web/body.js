// Bodies of requests and responses: bytes, a stream, or what becomes bytes later.
//
// Our own, because the engine's wait inside the sandbox for some kinds of them.

import { multipart, parseForm } from "./form.js";

const encoder = new TextEncoder();

/** What a body is made of: `bytes`, `stream` or `later`, its `type` and `length` if known. */
export function extract(body) {
  if (body === undefined || body === null) return { bytes: undefined };
  if (typeof body === "string") return ofBytes(encoder.encode(body), "text/plain;charset=UTF-8");
  if (body instanceof URLSearchParams) {
    return ofBytes(encoder.encode(String(body)), "application/x-www-form-urlencoded;charset=UTF-8");
  }
  if (body instanceof ArrayBuffer) return ofBytes(new Uint8Array(body.slice(0)));
  if (ArrayBuffer.isView(body)) {
    return ofBytes(new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice());
  }
  if (body instanceof Blob) {
    const later = async () => new Uint8Array(await body.arrayBuffer());
    return { later, type: body.type || undefined, length: body.size };
  }
  if (body instanceof FormData) return multipart(body);
  if (body instanceof ReadableStream) {
    if (body.locked) throw new TypeError("the stream of a body is locked");
    return { stream: body };
  }
  if (body[Symbol.asyncIterator] !== undefined) return { stream: ReadableStream.from(body) };
  return ofBytes(encoder.encode(String(body)), "text/plain;charset=UTF-8");
}

const ofBytes = (bytes, type) => ({ bytes, type, length: bytes.length });

/** Base of Request and Response. */
export class Body {
  #source;
  #stream;
  #isUsed = false;

  /** Takes what extract() made; `headers` get its type. */
  constructor(source, headers) {
    this.#source = source;
    if (source.type !== undefined && !headers.has("content-type")) headers.set("content-type", source.type);
  }

  /** What the body is made of, for who sends it; the body is used then. */
  static take(body) {
    const source = body.#isEmpty ? { bytes: undefined } : body.#consume();
    return source;
  }

  /** The body once more, for another of its kind. */
  static split(body) {
    if (body.bodyUsed || body.#stream?.locked) throw new TypeError("the body was used already");
    const source = body.#source;
    if (source.stream === undefined && body.#stream === undefined) return { ...source, type: undefined };
    const [mine, other] = (body.#stream ?? source.stream).tee();
    body.#source = { stream: mine };
    body.#stream = undefined;
    return { stream: other };
  }

  get #isEmpty() {
    const { bytes, stream, later } = this.#source;
    return bytes === undefined && stream === undefined && later === undefined;
  }

  #consume() {
    if (this.bodyUsed) throw new TypeError("the body was used already");
    const stream = this.#stream ?? this.#source.stream;
    if (stream?.locked) throw new TypeError("the body is locked: somebody reads it");
    this.#isUsed = true;
    return this.#stream === undefined ? this.#source : { stream: this.#stream };
  }

  get body() {
    if (this.#isEmpty) return null;
    if (this.#stream === undefined) {
      const made = this.#source.stream ?? streamOf(this.#source, () => {
        // After a copy was made, this one reads from another stream.
        if (this.#stream === made) this.#isUsed = true;
      });
      this.#stream = made;
    }
    return this.#stream;
  }

  get bodyUsed() {
    return this.#isUsed;
  }

  async bytes() {
    if (this.#isEmpty) return new Uint8Array(0);
    return allOf(this.#consume());
  }

  async arrayBuffer() {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }

  async text() {
    return new TextDecoder().decode(await this.bytes());
  }

  async json() {
    return JSON.parse(await this.text());
  }

  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }

  async formData() {
    return parseForm(await this.bytes(), this.headers.get("content-type") ?? "");
  }
}

function streamOf({ bytes, later }, used) {
  return new ReadableStream({
    async pull(controller) {
      used();
      const all = bytes ?? (await later());
      if (all.length > 0) controller.enqueue(all);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

/** All bytes of a source. */
export async function allOf({ bytes, later, stream }) {
  if (bytes !== undefined) return bytes;
  if (later !== undefined) return later();
  const reader = stream.getReader();
  const parts = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const part = bytesOf(value);
    parts.push(part);
    length += part.length;
  }
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A chunk of a body's stream, which must be bytes. */
export function bytesOf(chunk) {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === "string") return encoder.encode(chunk);
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk);
  if (ArrayBuffer.isView(chunk)) return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  throw new TypeError("a body's stream gave something else than bytes");
}
