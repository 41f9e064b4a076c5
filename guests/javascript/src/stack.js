// Stacks as the engine writes them, `name@file:line:column`, and as people know them.

/** What the files of this runtime are called in stacks. */
export const OURS = "capsule:";
/** The code between this runtime and the host, which componentize-js writes. */
const BINDINGS = "/sources/initializer.js";
/** What the engine calls the program: its path may hold what such a name cannot. */
export const PROGRAM = "program";

let program = "";
/** Columns by which line 1 of the program is moved. */
let shift = 0;

/** Says what the program is called. */
export function describe(path, columns) {
  program = path;
  shift = columns;
}

/** What the program is called. */
export const programPath = () => program;

/** The engine's own getter of stacks. */
const { get, set } = Object.getOwnPropertyDescriptor(Error.prototype, "stack");

/** The stack of an error as the engine has it; text, or nothing. */
export function stackOf(error) {
  try {
    const stack = get.call(error);
    return typeof stack === "string" ? stack : "";
  } catch {
    return "";
  }
}

/** Makes `error.stack` what Node has it: the error, then frames of the program. */
export function install() {
  Object.defineProperty(Error.prototype, "stack", {
    get() {
      const stack = get.call(this);
      if (typeof stack !== "string" || !(this instanceof Error)) return stack;
      const name = String(this.name ?? "Error");
      const said = this.message === "" ? name : `${name}: ${this.message}`;
      return [said, ...frames(stack)].join("\n");
    },
    set,
    configurable: true,
  });
}

/** The frames of a stack that are not this runtime's, as `{name, file, line, column}`. */
export function parse(stack) {
  if (typeof stack !== "string") return [];
  const found = [];
  for (const text of stack.split("\n")) {
    const at = text.indexOf("@");
    const last = text.lastIndexOf(":");
    const before = text.lastIndexOf(":", last - 1);
    if (at < 0 || before <= at) continue;
    const name = text.slice(0, at);
    const file = text.slice(at + 1, before);
    const line = text.slice(before + 1, last);
    const column = text.slice(last + 1);
    if (file.startsWith(OURS) || file === "self-hosted" || file.endsWith(BINDINGS)) continue;
    const isFirst = file === PROGRAM && line === "1";
    found.push({
      name: plain(name),
      file: file.startsWith(PROGRAM) ? program + file.slice(PROGRAM.length) : file,
      line: Number(line),
      column: Math.max(1, Number(column) - (isFirst ? shift : 0)),
    });
    if (found.length === 60) break;
  }
  return found;
}

/** The engine's marks for where a function came from say nothing to a user. */
function plain(name) {
  if (name === "") return name;
  return name.replace(/^async\*/, "async ").replace(/\/?<+$/, "").replace(/^.*\//, "");
}

/** The lines of a traceback. */
export function frames(stack) {
  return parse(stack).map(({ name, file, line, column }) => {
    const place = `${file}:${line}:${column}`;
    return name === "" ? `    at ${place}` : `    at ${name} (${place})`;
  });
}
