// What WASI says went wrong, as errors that programs know from Node.

const KNOWN = {
  "access": ["EACCES", 13, "permission denied"],
  "bad-descriptor": ["EBADF", 9, "bad file descriptor"],
  "busy": ["EBUSY", 16, "resource busy or locked"],
  "quota": ["EDQUOT", 122, "disk quota exceeded"],
  "exist": ["EEXIST", 17, "file already exists"],
  "file-too-large": ["EFBIG", 27, "file too large"],
  "illegal-byte-sequence": ["EILSEQ", 84, "illegal byte sequence"],
  "invalid": ["EINVAL", 22, "invalid argument"],
  "io": ["EIO", 5, "i/o error"],
  "is-directory": ["EISDIR", 21, "illegal operation on a directory"],
  "loop": ["ELOOP", 40, "too many symbolic links encountered"],
  "too-many-links": ["EMLINK", 31, "too many links"],
  "name-too-long": ["ENAMETOOLONG", 36, "name too long"],
  "no-device": ["ENODEV", 19, "no such device"],
  "no-entry": ["ENOENT", 2, "no such file or directory"],
  "insufficient-memory": ["EMFILE", 24, "too many open files"],
  "insufficient-space": ["ENOSPC", 28, "no space left on device"],
  "not-directory": ["ENOTDIR", 20, "not a directory"],
  "not-empty": ["ENOTEMPTY", 39, "directory not empty"],
  "unsupported": ["ENOTSUP", 95, "operation not supported on socket"],
  "overflow": ["EOVERFLOW", 75, "value too large for defined data type"],
  "not-permitted": ["EPERM", 1, "operation not permitted"],
  "read-only": ["EROFS", 30, "read-only file system"],
  "text-file-busy": ["ETXTBSY", 26, "text file is busy"],
  "cross-device": ["EXDEV", 18, "cross-device link not permitted"],
};
KNOWN.unsupported[2] = "operation not supported";

/** The numbers of errors, by name; for `os.constants.errno`. */
export const NUMBERS = Object.fromEntries(Object.values(KNOWN).map(([code, number]) => [code, number]));

/** The error of a call that WASI refused. */
export function failed(word, call, path, other) {
  const [code, number, text] = KNOWN[word] ?? KNOWN.io;
  const about = path === undefined ? "" : ` '${path}'${other === undefined ? "" : ` -> '${other}'`}`;
  return error(code, number, text, call, about, path, other);
}

/** An error of the same form for what is refused before WASI is asked. */
export function refused(code, call, path, other) {
  const [word] = Object.entries(KNOWN).find(([, [known]]) => known === code);
  return failed(word, call, path, other);
}

function error(code, number, text, syscall, about, path, dest) {
  const made = new Error(`${code}: ${text}, ${syscall}${about}`);
  Object.assign(made, { errno: -number, code, syscall });
  if (path !== undefined) made.path = typeof path === "string" ? path : String(path);
  if (dest !== undefined) made.dest = String(dest);
  return made;
}
