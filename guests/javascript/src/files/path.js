// Paths as WASI takes them: text, relative to the root.

let folder = "/";

/** The working directory. */
export const current = () => folder;

/** Makes an absolute path the working directory. */
export function enter(path) {
  folder = path;
}

/** Text of a path that Node would take. */
export function textOf(path, name = "path") {
  if (path instanceof URL) {
    if (path.protocol !== "file:") throw wrong("ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
    return checked(decodeURIComponent(path.pathname), name);
  }
  if (ArrayBuffer.isView(path)) return checked(new TextDecoder().decode(path), name);
  if (typeof path !== "string") {
    const message = `The "${name}" argument must be of type string or an instance of Buffer or URL. ` +
      `Received ${path === null ? "null" : typeof path}`;
    throw wrong("ERR_INVALID_ARG_TYPE", message);
  }
  return checked(path, name);
}

function checked(path, name) {
  if (!path.includes("\0")) return path;
  throw wrong("ERR_INVALID_ARG_VALUE", `The argument '${name}' must be a string without null bytes`);
}

const wrong = (code, message) => Object.assign(new TypeError(message), { code });

/** Absolute, as it was written otherwise. */
export function absolute(path) {
  const text = textOf(path);
  return text.startsWith("/") ? text : `${folder === "/" ? "" : folder}/${text}`;
}

/** Relative to the root. The empty path is no path, to Node neither. */
export function pathOf(path) {
  const text = textOf(path);
  if (text === "") return "";
  return absolute(text).replace(/^\/+/, "") || ".";
}
