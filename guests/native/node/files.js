// `files` of the SDK: what most tasks need of files.

import { access, readdir, readFile, writeFile } from "node:fs/promises";

/** Files that the task was granted, and its private /tmp. */
export const files = {
  /** A file as text. */
  readText: async (path) => new TextDecoder().decode(await readFile(path)),

  /** A file as bytes. */
  readBytes: async (path) => new Uint8Array(await readFile(path)),

  /** Replaces a file by text. */
  async writeText(path, content) {
    if (typeof content !== "string") throw new TypeError("files.writeText() takes text");
    await writeFile(path, content);
  },

  /** Replaces a file by bytes. */
  async writeBytes(path, data) {
    if (data instanceof ArrayBuffer) return writeFile(path, new Uint8Array(data));
    if (!ArrayBuffer.isView(data)) throw new TypeError("files.writeBytes() takes bytes");
    await writeFile(path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  },

  /** The names in a folder, in order. */
  list: async (path) => (await readdir(path)).sort(),

  /** Whether there is such a file or folder. */
  async exists(path) {
    try {
      await access(path);
      return true;
    } catch (error) {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return false;
      throw error;
    }
  },
};
