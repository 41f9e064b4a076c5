// Files as Node's streams.

import { Buffer } from "../buffer.js";
import { Readable, Writable } from "readable-stream";

import { handles } from "./handles.js";
import { bytesOf } from "./operations.js";

const optionsOf = (options) => (typeof options === "string" ? { encoding: options } : options ?? {});

export class ReadStream extends Readable {
  constructor(path, options) {
    const { fd, flags = "r", start, end = Infinity, encoding, autoClose = true, highWaterMark = 65536 } = optionsOf(options);
    super({ encoding, highWaterMark, autoDestroy: autoClose });
    Object.assign(this, { path, fd: fd?.fd ?? fd ?? null, flags, start, end, pos: start, bytesRead: 0 });
  }
  _construct(callback) {
    attempt(callback, () => {
      this.fd ??= handles.open(this.path, this.flags);
      setImmediate(() => {
        this.emit("open", this.fd);
        this.emit("ready");
      });
    });
  }
  _read(size) {
    const most = this.pos === undefined ? size : Math.min(size, this.end - this.pos + 1);
    if (most <= 0) return this.push(null);
    const buffer = Buffer.allocUnsafe(Math.min(most, 65536));
    let length;
    try {
      length = handles.read(this.fd, buffer, 0, buffer.length, this.pos);
    } catch (error) {
      return this.destroy(error);
    }
    if (this.pos !== undefined) this.pos += length;
    this.bytesRead += length;
    this.push(length === 0 ? null : buffer.subarray(0, length));
  }
  _destroy(error, callback) {
    close(this, error, callback);
  }
  close(callback) {
    if (callback) this.once("close", callback);
    this.destroy();
  }
}

export class WriteStream extends Writable {
  constructor(path, options) {
    const { fd, flags = "w", start, encoding, autoClose = true, highWaterMark = 16384 } = optionsOf(options);
    super({ highWaterMark, autoDestroy: autoClose, decodeStrings: true, defaultEncoding: encoding });
    Object.assign(this, { path, fd: fd?.fd ?? fd ?? null, flags, pos: start, bytesWritten: 0 });
  }
  _construct(callback) {
    attempt(callback, () => {
      this.fd ??= handles.open(this.path, this.pos === undefined ? this.flags : "r+");
      setImmediate(() => {
        this.emit("open", this.fd);
        this.emit("ready");
      });
    });
  }
  _write(data, encoding, callback) {
    attempt(callback, () => {
      const bytes = bytesOf(data, encoding);
      handles.write(this.fd, bytes, 0, bytes.length, this.pos);
      if (this.pos !== undefined) this.pos += bytes.length;
      this.bytesWritten += bytes.length;
    });
  }
  _destroy(error, callback) {
    close(this, error, callback);
  }
  close(callback) {
    if (callback) this.once("close", callback);
    this.end();
  }
}

function attempt(callback, work) {
  try {
    work();
    callback();
  } catch (error) {
    callback(error);
  }
}

function close(stream, error, callback) {
  const { fd } = stream;
  stream.fd = null;
  try {
    if (typeof fd === "number") handles.close(fd);
    callback(error);
  } catch (failure) {
    callback(error ?? failure);
  }
}

export const createReadStream = (path, options) => new ReadStream(path, options);
export const createWriteStream = (path, options) => new WriteStream(path, options);
