// `node:fs/promises`.

import { Buffer } from "../buffer.js";

import { constants } from "./constants.js";
import { handles } from "./handles.js";
import { operations } from "./operations.js";
import { createReadStream, createWriteStream } from "./streams.js";

/** What promises.open() answers with. */
class FileHandle {
  constructor(fd) {
    this.fd = fd;
  }
  async appendFile(data, options) {
    operations.appendFile(this.fd, data, options);
  }
  async close() {
    if (this.fd < 0) return;
    handles.close(this.fd);
    this.fd = -1;
  }
  async read(buffer, ...given) {
    if (!ArrayBuffer.isView(buffer)) {
      given = [buffer ?? {}];
      buffer = buffer?.buffer ?? Buffer.alloc(16384);
    }
    return { bytesRead: handles.read(this.fd, buffer, ...given), buffer };
  }
  async readFile(options) {
    return operations.readFile(this.fd, options);
  }
  async *readLines(options) {
    const text = operations.readFile(this.fd, options?.encoding ?? "utf8");
    const lines = text.split(/\r?\n/);
    if (lines.at(-1) === "") lines.pop();
    yield* lines;
  }
  async stat(options) {
    return handles.fstat(this.fd, options);
  }
  async sync() {
    handles.fsync(this.fd);
  }
  async datasync() {
    handles.fsync(this.fd);
  }
  async truncate(length) {
    handles.ftruncate(this.fd, length);
  }
  async utimes(atime, mtime) {
    handles.futimes(this.fd, atime, mtime);
  }
  async write(buffer, ...given) {
    return { bytesWritten: handles.write(this.fd, buffer, ...given), buffer };
  }
  async writeFile(data, options) {
    operations.writeFile(this.fd, data, options);
  }
  createReadStream(options) {
    return createReadStream("", { ...options, fd: this.fd });
  }
  createWriteStream(options) {
    return createWriteStream("", { ...options, fd: this.fd });
  }
  [Symbol.asyncDispose]() {
    return this.close();
  }
}

export const promises = { constants };
for (const [name, operation] of Object.entries(operations)) {
  promises[name] = async (...given) => operation(...given);
}
delete promises.exists;
promises.open = async (path, flags) => new FileHandle(handles.open(path, flags));
