// What is known of a file, and of an entry of a folder.

import { constants } from "./constants.js";

const MODES = {
  "regular-file": constants.S_IFREG | 0o644,
  "directory": constants.S_IFDIR | 0o755,
  "symbolic-link": constants.S_IFLNK | 0o777,
};

class Typed {
  isFile() {
    return this.type === "regular-file";
  }
  isDirectory() {
    return this.type === "directory";
  }
  isSymbolicLink() {
    return this.type === "symbolic-link";
  }
  isBlockDevice() {
    return false;
  }
  isCharacterDevice() {
    return false;
  }
  isFIFO() {
    return false;
  }
  isSocket() {
    return false;
  }
}

const hidden = (object, name, value) => Object.defineProperty(object, name, { value });

/** Times are milliseconds, as everywhere in JavaScript. */
const milliseconds = (time) => (time === undefined || time === null ? 0 : Number(time.seconds) * 1000 + time.nanoseconds / 1e6);

/** As fs.stat() answers. There are no owners and permissions, so they say what is usual. */
export class Stats extends Typed {
  constructor({ type, linkCount, size, dataAccessTimestamp, dataModificationTimestamp, statusChangeTimestamp }, big) {
    super();
    hidden(this, "type", type);
    const mtimeMs = milliseconds(dataModificationTimestamp);
    const ctimeMs = milliseconds(statusChangeTimestamp) || mtimeMs;
    const atimeMs = milliseconds(dataAccessTimestamp) || mtimeMs;
    const number = big ? (value) => BigInt(Math.trunc(Number(value))) : Number;
    const numbers = {
      dev: 0, mode: MODES[type] ?? 0, nlink: linkCount, uid: 0, gid: 0, rdev: 0, blksize: 4096, ino: 0,
      size, blocks: Math.ceil(Number(size) / 512), atimeMs, mtimeMs, ctimeMs, birthtimeMs: ctimeMs,
    };
    for (const [name, value] of Object.entries(numbers)) this[name] = number(value);
    this.atime = new Date(atimeMs);
    this.mtime = new Date(mtimeMs);
    this.ctime = this.birthtime = new Date(ctimeMs);
  }
}

/** As fs.readdir() answers with `withFileTypes`. */
export class Dirent extends Typed {
  constructor(name, type, parentPath) {
    super();
    this.name = name;
    this.parentPath = this.path = parentPath;
    hidden(this, "type", type);
  }
}
