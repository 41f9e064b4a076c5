// `node:fs`: each operation once, in three forms: now, with a callback, as a promise.

import { constants } from "./fs/constants.js";
import { operations } from "./fs/operations.js";
import { handles } from "./fs/handles.js";
import { promises } from "./fs/promises.js";
import { createReadStream, createWriteStream, ReadStream, WriteStream } from "./fs/streams.js";
import { Dirent, Stats } from "./fs/stats.js";

const fs = { constants, promises, createReadStream, createWriteStream, ReadStream, WriteStream, Dirent, Stats };
Object.assign(fs, { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1 });

for (const [name, operation] of Object.entries({ ...operations, ...handles })) {
  fs[`${name}Sync`] = operation;
  fs[name] = (...given) => {
    const callback = given.pop();
    if (typeof callback !== "function") {
      const message = 'The "cb" argument must be of type function. Received undefined';
      throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
    }
    let answer;
    try {
      const value = operation(...given);
      answer = value === undefined ? [null] : [null, value];
      if (name === "read" || name === "write") answer.push(given[1]);
    } catch (error) {
      answer = [error];
    }
    setImmediate(callback, ...answer);
  };
}
// Old forms, which answer with a plain boolean.
fs.existsSync = operations.exists;
fs.exists = (path, callback) => setImmediate(callback, operations.exists(path));
fs.realpath.native = fs.realpath;
fs.realpathSync.native = fs.realpathSync;
for (const name of ["watch", "watchFile", "unwatchFile"]) {
  fs[name] = () => {
    throw new Error(`fs.${name}() is not in a Wasm sandbox: files cannot be watched there`);
  };
}

export default fs;
