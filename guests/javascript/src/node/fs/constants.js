// `fs.constants`, and what a flag such as "a+" means.

export const constants = {
  F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1,
  COPYFILE_EXCL: 1, COPYFILE_FICLONE: 2, COPYFILE_FICLONE_FORCE: 4,
  O_RDONLY: 0, O_WRONLY: 1, O_RDWR: 2, O_CREAT: 0o100, O_EXCL: 0o200, O_TRUNC: 0o1000, O_APPEND: 0o2000,
  O_DIRECTORY: 0o200000, O_NOFOLLOW: 0o400000, O_SYNC: 0o4010000,
  S_IFMT: 0o170000, S_IFREG: 0o100000, S_IFDIR: 0o40000, S_IFLNK: 0o120000,
};

const read = { read: true };
const write = { write: true, create: true, truncate: true };
const append = { write: true, create: true, append: true };
const NAMED = {
  "r": read, "rs": read, "sr": read,
  "r+": { read: true, write: true }, "rs+": { read: true, write: true },
  "w": write, "wx": { ...write, exclusive: true },
  "w+": { ...write, read: true }, "wx+": { ...write, read: true, exclusive: true },
  "a": append, "ax": { ...append, exclusive: true }, "as": append,
  "a+": { ...append, read: true }, "ax+": { ...append, read: true, exclusive: true },
};

/** How a file is opened. */
export function howOf(flags = "r") {
  if (typeof flags === "number") {
    const has = (bit) => (flags & bit) !== 0;
    return {
      read: (flags & 3) !== 1, write: (flags & 3) !== 0, create: has(constants.O_CREAT),
      exclusive: has(constants.O_EXCL), truncate: has(constants.O_TRUNC), append: has(constants.O_APPEND),
    };
  }
  const how = NAMED[String(flags).replace(/^xa/, "ax").replace(/^xw/, "wx")];
  if (how !== undefined) return how;
  const message = `The argument 'flags' is invalid. Received '${flags}'`;
  throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}
