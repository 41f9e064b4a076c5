// Files of the sandbox, over WASI: one tree, below the one directory that the host gives.
//
// Nothing that was opened is kept longer than it is used, so that an instance that waits
// holds no handle but those that its program opened.

import { getDirectories } from "wasi:filesystem/preopens@0.2.0";

import { failed } from "./errors.js";
import { pathOf } from "./path.js";

let root;

function tree() {
  root ??= getDirectories()[0][0];
  return root;
}

/** Calls WASI; what it refuses becomes an error as Node has them. */
function ask(call, path, work, other) {
  try {
    return work();
  } catch (error) {
    if (typeof error?.payload === "string") throw failed(error.payload, call, path, other);
    throw error;
  }
}

const close = (descriptor) => descriptor[Symbol.dispose]();
const FOLLOW = { symlinkFollow: true };
const STAY = { symlinkFollow: false };
const CHUNK = 64 * 1024;

/** An open file. Where it stands is counted here: WASI has no such thing. */
export class File {
  constructor(descriptor, path, appends) {
    this.descriptor = descriptor;
    this.path = path;
    this.appends = appends;
    this.position = 0;
  }

  /** At most so many bytes; none at the end. */
  read(length, position = this.position) {
    const [bytes] = ask("read", this.path, () =>
      this.descriptor.read(BigInt(Math.min(length, CHUNK)), BigInt(position)));
    if (position === this.position) this.position += bytes.length;
    return bytes;
  }

  /** All the rest. */
  readToEnd() {
    const parts = [];
    let length = 0;
    for (;;) {
      const bytes = this.read(CHUNK);
      if (bytes.length === 0) break;
      parts.push(bytes);
      length += bytes.length;
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

  /** Writes everything. */
  write(bytes, position = this.position) {
    if (this.appends) return this.#append(bytes);
    let at = 0;
    while (at < bytes.length) {
      const piece = bytes.subarray(at, at + CHUNK);
      const written = ask("write", this.path, () =>
        this.descriptor.write(piece, BigInt(position + at)));
      at += Number(written);
    }
    if (position === this.position) this.position += at;
  }

  #append(bytes) {
    const stream = ask("write", this.path, () => this.descriptor.appendViaStream());
    try {
      // So many bytes WASI takes at once.
      for (let at = 0; at < bytes.length; at += 4096) {
        ask("write", this.path, () => {
          try {
            stream.blockingWriteAndFlush(bytes.subarray(at, at + 4096));
          } catch (error) {
            throw typeof error?.payload?.tag === "string" ? { payload: "io" } : error;
          }
        });
      }
    } finally {
      close(stream);
    }
  }

  stat() {
    return ask("fstat", this.path, () => this.descriptor.stat());
  }

  resize(length) {
    ask("ftruncate", this.path, () => this.descriptor.setSize(BigInt(length)));
  }

  setTimes(accessed, modified) {
    ask("futime", this.path, () => this.descriptor.setTimes(accessed, modified));
  }

  sync() {
    ask("fsync", this.path, () => this.descriptor.sync());
  }

  close() {
    close(this.descriptor);
  }
}

/** Opens a file. `how` has read, write, create, exclusive, truncate, append. */
export function open(path, how, call = "open") {
  const given = pathOf(path);
  const { read = false, write = false, create = false, exclusive = false, truncate = false } = how;
  const descriptor = ask(call, path, () =>
    tree().openAt(FOLLOW, given, { create, exclusive, truncate, directory: false }, {
      read, write, fileIntegritySync: false, dataIntegritySync: false, requestedWriteSync: false,
      mutateDirectory: false,
    }));
  return new File(descriptor, path, how.append === true);
}

export function stat(path, follows = true, call = follows ? "stat" : "lstat") {
  return ask(call, path, () =>
    tree().statAt(follows ? FOLLOW : STAY, pathOf(path)));
}

/** `{name, type}` of everything in a folder, in the host's order. */
export function list(path) {
  const call = "scandir";
  const folder = ask(call, path, () =>
    tree().openAt(FOLLOW, pathOf(path), { directory: true }, { read: true }));
  const found = [];
  try {
    const entries = ask(call, path, () => folder.readDirectory());
    try {
      for (;;) {
        const entry = ask(call, path, () => entries.readDirectoryEntry());
        if (entry === undefined || entry === null) break;
        found.push(entry);
      }
    } finally {
      close(entries);
    }
  } finally {
    close(folder);
  }
  return found;
}

export const makeFolder = (path) => ask("mkdir", path, () => tree().createDirectoryAt(pathOf(path)));

export const removeFolder = (path) => ask("rmdir", path, () => tree().removeDirectoryAt(pathOf(path)));

export const unlink = (path) => ask("unlink", path, () => tree().unlinkFileAt(pathOf(path)));

export const rename = (from, to) =>
  ask("rename", from, () => tree().renameAt(pathOf(from), tree(), pathOf(to)), to);

export const symlink = (target, path) =>
  ask("symlink", target, () => tree().symlinkAt(String(target), pathOf(path)), path);

export const link = (from, to) =>
  ask("link", from, () => tree().linkAt(STAY, pathOf(from), tree(), pathOf(to)), to);

export const readLink = (path) => ask("readlink", path, () => tree().readlinkAt(pathOf(path)));

export const setTimes = (path, accessed, modified, follows = true) =>
  ask("utime", path, () =>
    tree().setTimesAt(follows ? FOLLOW : STAY, pathOf(path), accessed, modified));
