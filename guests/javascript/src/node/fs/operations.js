// What can be done to files by their names, at once. Node's other forms are made of these.

import { Buffer } from "../buffer.js";

import { refused } from "../../files/errors.js";
import { absolute, textOf } from "../../files/path.js";
import * as wasi from "../../files/wasi.js";
import { fileOf } from "./handles.js";
import { howOf } from "./constants.js";
import { Dirent, Stats } from "./stats.js";


/** Options that may be an encoding. */
const optionsOf = (options) => (typeof options === "string" ? { encoding: options } : options ?? {});

const decoded = (bytes, encoding) => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return encoding && encoding !== "buffer" ? buffer.toString(encoding) : buffer;
};

/** Bytes of what is written. */
export function bytesOf(data, encoding) {
  if (typeof data === "string") return Buffer.from(data, encoding ?? "utf8");
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const message = 'The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView. ' +
    `Received ${data === null ? "null" : typeof data}`;
  throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
}

/** Has a file by its name or number, and closes it if it opened it. */
function using(path, how, work) {
  if (typeof path === "number" || path?.fd !== undefined) return work(fileOf(path.fd ?? path));
  const file = wasi.open(textOf(path), how);
  try {
    return work(file);
  } finally {
    file.close();
  }
}

function stat(path, follows, { throwIfNoEntry = true, bigint = false } = {}) {
  try {
    return new Stats(wasi.stat(textOf(path), follows), bigint);
  } catch (error) {
    if (!throwIfNoEntry && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  }
}

const joined = (folder, name) => (folder.endsWith("/") ? `${folder}${name}` : `${folder}/${name}`);

export function timeOf(time) {
  const seconds = time instanceof Date ? time.getTime() / 1000 : Number(time);
  const whole = Math.floor(seconds);
  return { tag: "timestamp", val: { seconds: BigInt(whole), nanoseconds: Math.round((seconds - whole) * 1e9) } };
}

export const operations = {
  access(path, mode = 0) {
    const { type } = wasi.stat(textOf(path), true, "access");
    // Whether it can be written shows only when it is opened; folders always look so.
    if ((mode & 2) !== 0 && type === "regular-file") {
      wasi.open(textOf(path), { read: true, write: true }, "access").close();
    }
  },

  appendFile(path, data, options) {
    const { encoding, flag = "a" } = optionsOf(options);
    using(path, howOf(flag), (file) => file.write(bytesOf(data, encoding)));
  },

  chmod() {},

  chown() {},

  copyFile(from, to, mode = 0) {
    using(from, howOf("r"), (source) => {
      if (source.stat().type === "directory") throw refused("EISDIR", "copyfile", from);
      if ((mode & 1) !== 0 && operations.exists(to)) throw refused("EEXIST", "copyfile", from, to);
      using(to, howOf((mode & 1) !== 0 ? "wx" : "w"), (target) => {
        for (let bytes = source.read(65536); bytes.length > 0; bytes = source.read(65536)) target.write(bytes);
      });
    });
  },

  cp(from, to, options = {}) {
    const source = textOf(from);
    const target = textOf(to);
    const { type } = wasi.stat(source, options.dereference === true);
    if (options.filter?.(source, target) === false) return;
    if (type === "directory") {
      if (!options.recursive) {
        const message = `Recursive option not enabled, cannot copy a directory: ${source}`;
        throw Object.assign(new Error(message), { code: "ERR_FS_EISDIR" });
      }
      operations.mkdir(target, { recursive: true });
      for (const { name } of wasi.list(source)) operations.cp(joined(source, name), joined(target, name), options);
    } else if (options.force === false && operations.exists(target)) {
      if (options.errorOnExist) throw refused("EEXIST", "cp", target);
    } else if (type === "symbolic-link") {
      wasi.symlink(wasi.readLink(source), target);
    } else {
      operations.copyFile(source, target);
    }
  },

  exists(path) {
    try {
      wasi.stat(textOf(path));
      return true;
    } catch {
      return false;
    }
  },

  lchown() {},

  link: (from, to) => wasi.link(textOf(from), textOf(to)),

  lstat: (path, options) => stat(path, false, options),

  lutimes: (path, atime, mtime) => wasi.setTimes(textOf(path), timeOf(atime), timeOf(mtime), false),

  mkdir(path, options) {
    const text = textOf(path);
    if (typeof options !== "object" || !options?.recursive) return void wasi.makeFolder(text);
    const parts = absolute(text).split("/").filter((part) => part !== "" && part !== ".");
    let first;
    for (let depth = 1; depth <= parts.length; depth++) {
      const folder = `/${parts.slice(0, depth).join("/")}`;
      try {
        wasi.makeFolder(folder);
        first ??= folder;
      } catch (error) {
        const isThere = operations.exists(folder);
        if (isThere && wasi.stat(folder).type === "directory") continue;
        if (isThere) throw refused(depth === parts.length ? "EEXIST" : "ENOTDIR", "mkdir", text);
        throw error;
      }
    }
    return first;
  },

  mkdtemp(prefix, options) {
    for (;;) {
      const random = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => LETTERS[byte % LETTERS.length]);
      const path = textOf(prefix, "prefix") + random.join("");
      try {
        wasi.makeFolder(path);
        return decodedName(path, options);
      } catch (error) {
        if (error.code !== "EEXIST") throw error;
      }
    }
  },

  opendir(path) {
    const entries = operations.readdir(path, { withFileTypes: true });
    const folder = {
      path: textOf(path),
      readSync: () => entries.shift() ?? null,
      read: async () => entries.shift() ?? null,
      closeSync() {},
      async close() {},
      async *[Symbol.asyncIterator]() {
        yield* entries.splice(0);
      },
    };
    return folder;
  },

  readFile(path, options) {
    const { encoding, flag } = optionsOf(options);
    return using(path, howOf(flag), (file) => {
      if (typeof path !== "number" && file.stat().type === "directory") throw refused("EISDIR", "read");
      return decoded(file.readToEnd(), encoding);
    });
  },

  readdir(path, options) {
    const { withFileTypes, recursive, encoding } = optionsOf(options);
    const top = textOf(path);
    const found = [];
    const visit = (folder, prefix) => {
      const entries = wasi.list(folder).sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const { name, type } of entries) {
        if (withFileTypes) found.push(new Dirent(name, type, folder));
        else found.push(decodedName(prefix + name, encoding));
        if (recursive && type === "directory") visit(joined(folder, name), `${prefix}${name}/`);
      }
    };
    visit(top, "");
    return found;
  },

  readlink: (path, options) => decodedName(wasi.readLink(textOf(path)), options),

  realpath(path, options) {
    let parts = absolute(path).split("/");
    const real = [];
    for (let links = 0; parts.length > 0;) {
      const part = parts.shift();
      if (part === "" || part === ".") continue;
      if (part === "..") {
        real.pop();
        continue;
      }
      const here = `/${[...real, part].join("/")}`;
      if (wasi.stat(here, false).type !== "symbolic-link") {
        real.push(part);
        continue;
      }
      if (++links > 40) throw refused("ELOOP", "realpath", path);
      const target = wasi.readLink(here);
      if (target.startsWith("/")) real.length = 0;
      parts = [...target.split("/"), ...parts];
    }
    return decodedName(`/${real.join("/")}`, options);
  },

  rename: (from, to) => wasi.rename(textOf(from), textOf(to)),

  rm(path, { recursive = false, force = false } = {}) {
    const text = textOf(path);
    let type;
    try {
      ({ type } = wasi.stat(text, false));
    } catch (error) {
      if (force && error.code === "ENOENT") return;
      throw error;
    }
    if (type !== "directory") return wasi.unlink(text);
    if (!recursive) {
      const message = `Path is a directory: rm returned EISDIR (is a directory) ${text}`;
      throw Object.assign(new Error(message), { code: "ERR_FS_EISDIR", path: text, syscall: "rm" });
    }
    for (const { name } of wasi.list(text)) operations.rm(joined(text, name), { recursive, force });
    wasi.removeFolder(text);
  },

  rmdir(path, { recursive = false } = {}) {
    if (recursive) return operations.rm(path, { recursive, force: true });
    wasi.removeFolder(textOf(path));
  },

  stat: (path, options) => stat(path, true, options),

  symlink: (target, path) => wasi.symlink(textOf(target, "target"), textOf(path)),

  truncate(path, length = 0) {
    using(path, howOf("r+"), (file) => file.resize(length));
  },

  unlink: (path) => wasi.unlink(textOf(path)),

  utimes: (path, atime, mtime) => wasi.setTimes(textOf(path), timeOf(atime), timeOf(mtime)),

  writeFile(path, data, options) {
    const { encoding, flag = "w" } = optionsOf(options);
    using(path, howOf(flag), (file) => file.write(bytesOf(data, encoding)));
  },
};


const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function decodedName(name, options) {
  const { encoding } = optionsOf(options);
  return encoding === "buffer" ? Buffer.from(name) : name;
}
