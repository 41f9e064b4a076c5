// Files by number, as Node's older functions have them.

import { refused } from "../../files/errors.js";
import { textOf } from "../../files/path.js";
import * as wasi from "../../files/wasi.js";
import { write as print } from "../../output.js";
import { howOf } from "./constants.js";
import { bytesOf, timeOf } from "./operations.js";
import { Stats } from "./stats.js";

const open = new Map();

/** Numbers 1 and 2 are the program's output. */
const streams = {
  0: { read: () => new Uint8Array(0), readToEnd: () => new Uint8Array(0), stat: () => PIPE, close() {} },
  1: { write: (bytes) => print(1, bytes), stat: () => PIPE, close() {} },
  2: { write: (bytes) => print(2, bytes), stat: () => PIPE, close() {} },
};
const PIPE = { type: "fifo", linkCount: 1n, size: 0n };

/** The file of a number. */
export function fileOf(number, call = "fstat") {
  const file = open.get(number) ?? streams[number];
  if (file === undefined) throw refused("EBADF", call);
  return file;
}

/** The number of a file that was opened. */
export function numberOf(file) {
  let number = 3;
  while (open.has(number)) number++;
  open.set(number, file);
  return number;
}

export const handles = {
  open: (path, flags = "r") => numberOf(wasi.open(textOf(path), howOf(flags))),

  close(number) {
    fileOf(number, "close").close();
    open.delete(number);
  },

  read(number, buffer, offset, length, position) {
    if (typeof offset === "object" && offset !== null) ({ offset, length, position } = offset);
    offset ??= 0;
    length ??= buffer.byteLength - offset;
    const file = fileOf(number, "read");
    const at = typeof position === "number" && position >= 0 ? position : typeof position === "bigint" ? Number(position) : undefined;
    const bytes = file.read(length, at);
    new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength).set(bytes, offset);
    return bytes.length;
  },

  write(number, data, offset, length, position) {
    const file = fileOf(number, "write");
    if (typeof data === "string") {
      // (fd, text, position, encoding)
      const bytes = bytesOf(data, length);
      file.write(bytes, typeof offset === "number" ? offset : undefined);
      return bytes.length;
    }
    if (typeof offset === "object" && offset !== null) ({ offset, length, position } = offset);
    const start = offset ?? 0;
    const bytes = bytesOf(data).subarray(start, length === undefined || length === null ? undefined : start + length);
    file.write(bytes, typeof position === "number" ? position : undefined);
    return bytes.length;
  },

  fstat: (number, options) => new Stats(fileOf(number).stat(), options?.bigint),
  fsync: (number) => fileOf(number, "fsync").sync(),
  fdatasync: (number) => fileOf(number, "fdatasync").sync(),
  ftruncate: (number, length = 0) => fileOf(number, "ftruncate").resize(length),
  futimes: (number, atime, mtime) => fileOf(number, "futime").setTimes(timeOf(atime), timeOf(mtime)),
  fchmod() {},
  fchown() {},
};
