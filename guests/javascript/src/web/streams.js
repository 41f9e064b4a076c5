// What the engine's streams and URLs lack.

const define = (object, name, value) => Object.defineProperty(object, name, { value, writable: true, configurable: true });

async function* values({ preventCancel = false } = {}) {
  const reader = this.getReader();
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        isOver = true;
        return;
      }
      yield value;
    }
  } catch (error) {
    isOver = true;
    throw error;
  } finally {
    if (!isOver && !preventCancel) await reader.cancel();
    reader.releaseLock();
  }
}

function from(iterable) {
  const iterator = (iterable[Symbol.asyncIterator] ?? iterable[Symbol.iterator]).call(iterable);
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(await value);
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  }, { highWaterMark: 0 });
}

class TextEncoderStream {
  constructor() {
    const encoder = new TextEncoder();
    const { readable, writable } = new TransformStream({
      transform: (chunk, controller) => controller.enqueue(encoder.encode(String(chunk))),
    });
    Object.assign(this, { readable, writable, encoding: "utf-8" });
  }
}

class TextDecoderStream {
  constructor(label, options) {
    const decoder = new TextDecoder(label, options);
    const { readable, writable } = new TransformStream({
      transform(chunk, controller) {
        const text = decoder.decode(chunk, { stream: true });
        if (text !== "") controller.enqueue(text);
      },
      flush(controller) {
        const text = decoder.decode();
        if (text !== "") controller.enqueue(text);
      },
    });
    Object.assign(this, { readable, writable, encoding: decoder.encoding });
  }
}

function stream() {
  const blob = this;
  return new ReadableStream({
    async pull(controller) {
      const bytes = new Uint8Array(await blob.arrayBuffer());
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: 0 });
}

function parsed(given) {
  try {
    return new URL(...given);
  } catch {
    return null;
  }
}

/** Adds all of it to the globals. */
export function install() {
  define(ReadableStream.prototype, "values", values);
  define(ReadableStream.prototype, Symbol.asyncIterator, values);
  define(ReadableStream, "from", from);
  define(Blob.prototype, "stream", stream);
  define(Blob.prototype, "bytes", async function () {
    return new Uint8Array(await this.arrayBuffer());
  });
  define(URL, "canParse", (...given) => parsed(given) !== null);
  define(URL, "parse", (...given) => parsed(given));
  Object.defineProperty(performance, "timeOrigin", { get: () => Date.now() - performance.now(), configurable: true });
  for (const name of ["mark", "measure", "clearMarks", "clearMeasures"]) define(performance, name, () => {});
  for (const name of ["getEntries", "getEntriesByName", "getEntriesByType"]) define(performance, name, () => []);
  define(globalThis, "TextEncoderStream", TextEncoderStream);
  define(globalThis, "TextDecoderStream", TextDecoderStream);
}

