/** Files of a task. Outside of a sandbox they are the files of this process. */

import { access, readdir, readFile, writeFile } from "node:fs/promises";

/** Files that the task was granted, and its private `/tmp`. */
export interface Files {
  /** A file as text. */
  readText(path: string): Promise<string>;
  /** A file as bytes. */
  readBytes(path: string): Promise<Uint8Array>;
  /** Replaces a file by text. */
  writeText(path: string, content: string): Promise<void>;
  /** Replaces a file by bytes. */
  writeBytes(path: string, data: ArrayBuffer | ArrayBufferView): Promise<void>;
  /** The names in a folder, in order. */
  list(path: string): Promise<string[]>;
  /** Whether there is such a file or folder. */
  exists(path: string): Promise<boolean>;
}

/** See {@link Files}. */
export const files: Files = {
  readText: (path) => readFile(path, "utf8"),
  readBytes: async (path) => new Uint8Array(await readFile(path)),
  async writeText(path, content) {
    if (typeof content !== "string") throw new TypeError("files.writeText() takes text");
    await writeFile(path, content);
  },
  async writeBytes(path, data) {
    const bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    await writeFile(path, bytes);
  },
  list: async (path) => (await readdir(path)).sort(),
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
};
