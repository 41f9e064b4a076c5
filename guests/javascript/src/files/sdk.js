// `files` of the SDK: what most tasks need of files.

import { textOf } from "./path.js";
import * as wasi from "./wasi.js";

const READ = { read: true };
const REPLACE = { write: true, create: true, truncate: true };

function reading(path) {
  const file = wasi.open(textOf(path), READ);
  try {
    return file.readToEnd();
  } finally {
    file.close();
  }
}

function writing(path, bytes) {
  const file = wasi.open(textOf(path), REPLACE);
  try {
    file.write(bytes);
  } finally {
    file.close();
  }
}

/** Files that the task was granted, and its private /tmp. */
export const files = {
  /** A file as text. */
  async readText(path) {
    return new TextDecoder().decode(reading(path));
  },

  /** A file as bytes. */
  async readBytes(path) {
    return reading(path);
  },

  /** Replaces a file by text. */
  async writeText(path, content) {
    if (typeof content !== "string") throw new TypeError("files.writeText() takes text");
    writing(path, new TextEncoder().encode(content));
  },

  /** Replaces a file by bytes. */
  async writeBytes(path, data) {
    if (data instanceof ArrayBuffer) return writing(path, new Uint8Array(data));
    if (!ArrayBuffer.isView(data)) throw new TypeError("files.writeBytes() takes bytes");
    writing(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  },

  /** The names in a folder, in order. */
  async list(path) {
    return wasi.list(textOf(path)).map(({ name }) => name).sort();
  },

  /** Whether there is such a file or folder. */
  async exists(path) {
    try {
      wasi.stat(textOf(path));
      return true;
    } catch (error) {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return false;
      throw error;
    }
  },
};
