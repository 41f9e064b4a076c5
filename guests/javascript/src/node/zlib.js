// `node:zlib`: deflate and gzip. Brotli is not here.

import { Buffer } from "./buffer.js";
import { deflateSync, gunzipSync, gzipSync, inflateSync, unzlibSync, zlibSync } from "fflate";
import { Transform } from "readable-stream";

const bytesOf = (data) => {
  if (typeof data === "string") return new TextEncoder().encode(data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
};

const level = (options) => {
  const given = options?.level;
  return { level: given === undefined || given < 0 ? 6 : given };
};

function failed(error) {
  const text = { 0: "unexpected end of file", 1: "invalid block type", 6: "incorrect header check" }[error.code] ?? error.message;
  const code = error.code === 0 ? "Z_BUF_ERROR" : "Z_DATA_ERROR";
  return Object.assign(new Error(text), { code, errno: error.code === 0 ? -5 : -3 });
}

const attempt = (work) => {
  try {
    const bytes = work();
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  } catch (error) {
    throw failed(error);
  }
};

const isGzip = (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b;
const inflate = (bytes) => {
  // The library does not look at the check bits of the head.
  if (bytes.length < 2 || (bytes[0] & 15) !== 8 || ((bytes[0] << 8) | bytes[1]) % 31 !== 0) throw { code: 6 };
  return unzlibSync(bytes);
};

const gunzip = (bytes) => {
  if (!isGzip(bytes)) throw { code: bytes.length < 2 ? 0 : 6 };
  return gunzipSync(bytes);
};

const METHODS = {
  deflate: (bytes, options) => zlibSync(bytes, level(options)),
  deflateRaw: (bytes, options) => deflateSync(bytes, level(options)),
  gzip: (bytes, options) => gzipSync(bytes, { ...level(options), mtime: 0 }),
  gunzip,
  inflate,
  inflateRaw: (bytes) => inflateSync(bytes),
  unzip: (bytes) => (isGzip(bytes) ? gunzip(bytes) : inflate(bytes)),
};

/** A stream that gathers all, and then answers with all: memory bounds it as it bounds the rest. */
class Whole extends Transform {
  constructor(method, options) {
    super();
    Object.assign(this, { method, options, parts: [] });
  }
  _transform(data, encoding, callback) {
    this.parts.push(typeof data === "string" ? Buffer.from(data, encoding) : Buffer.from(data));
    callback();
  }
  _flush(callback) {
    try {
      const all = attempt(() => METHODS[this.method](Buffer.concat(this.parts), this.options));
      for (let at = 0; at < all.length; at += 65536) this.push(all.subarray(at, at + 65536));
      callback();
    } catch (error) {
      callback(error);
    }
  }
}

const constants = {
  Z_NO_FLUSH: 0, Z_PARTIAL_FLUSH: 1, Z_SYNC_FLUSH: 2, Z_FULL_FLUSH: 3, Z_FINISH: 4, Z_BLOCK: 5,
  Z_OK: 0, Z_STREAM_END: 1, Z_NEED_DICT: 2, Z_ERRNO: -1, Z_STREAM_ERROR: -2, Z_DATA_ERROR: -3,
  Z_MEM_ERROR: -4, Z_BUF_ERROR: -5, Z_VERSION_ERROR: -6, Z_NO_COMPRESSION: 0, Z_BEST_SPEED: 1,
  Z_BEST_COMPRESSION: 9, Z_DEFAULT_COMPRESSION: -1, Z_DEFAULT_STRATEGY: 0, Z_MIN_WINDOWBITS: 8,
  Z_MAX_WINDOWBITS: 15, Z_DEFAULT_WINDOWBITS: 15, Z_DEFAULT_LEVEL: -1, Z_DEFAULT_CHUNK: 16384,
};
const module = { constants, ...constants };

for (const name of Object.keys(METHODS)) {
  const kind = name[0].toUpperCase() + name.slice(1);
  const sync = (data, options) => attempt(() => METHODS[name](bytesOf(data), options));
  module[`${name}Sync`] = sync;
  module[name] = (data, options, callback = options) => {
    let answer;
    try {
      answer = [null, sync(data, options)];
    } catch (error) {
      answer = [error];
    }
    setImmediate(callback, ...answer);
  };
  module[kind] = class extends Whole {
    constructor(options) {
      super(name, options);
    }
  };
  module[`create${kind}`] = (options) => new module[kind](options);
}
for (const name of ["brotliCompress", "brotliCompressSync", "brotliDecompress", "brotliDecompressSync", "createBrotliCompress", "createBrotliDecompress"]) {
  module[name] = () => {
    throw new Error(`zlib.${name}() is not in a Wasm sandbox; the task option isolation: "jail" runs the task in Node`);
  };
}
module.crc32 = (data, start = 0) => {
  let crc = ~start;
  for (const byte of bytesOf(data)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
};

export default module;
