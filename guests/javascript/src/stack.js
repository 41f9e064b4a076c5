// Stacks as the engine writes them, `name@file:line:column`, and as people know them.

/** What the files of this runtime are called in stacks. */
export const OURS = "capsule:";
/** The code between this runtime and the host, which componentize-js writes. */
const BINDINGS = "/sources/initializer.js";
/** What the engine calls the program: its path may hold what such a name cannot. */
export const PROGRAM = "program";

let program = "";
/** Lines by which the program is moved. */
let above = 0;

/** Says what the program is called, and how many lines of its function are not its own. */
export function describe(path, lines) {
  program = path;
  above = lines;
}

/**
 * Pieces of a session's code: what they are called, by how much their line 1 is moved, and how
 * many lines they have.
 */
const pieces = [];

/** Says what a piece of code is called; the engine's name for it. */
export function describePiece(name, columns, lines) {
  pieces.push({ name, columns, lines });
  return `${PROGRAM}:${pieces.length}`;
}

/** Whose code a file of the engine's is. */
function ownerOf(file) {
  const [whole, number] = /^program:(\d+)/.exec(file) ?? [];
  const piece = pieces[number - 1] ?? { name: program, columns: 0 };
  return { known: whole ?? PROGRAM, above: whole === undefined ? above : 0, ...piece };
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
    const { known, above, name: called, columns, lines } = ownerOf(file);
    if (Number(line) > lines) continue;
    const isFirst = file === known && line === "1";
    found.push({
      name: plain(name),
      file: file.startsWith(known) ? called + file.slice(known.length) : file,
      line: Number(line) - (file === known ? above : 0),
      column: Math.max(1, Number(column) - (isFirst ? columns : 0)),
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
