// Stacks as V8 writes them, `    at name (file:line:column)`, and what of them is the user's.

/** What the files of this runtime are called in stacks. */
const OURS = "capsule:";
/** What the engine calls the program: its path may hold what such a name cannot. */
export const PROGRAM = "program";
/** Frames that are told of. */
const MOST = 60;

let program = "";
/** Lines by which the program is moved. */
let above = 0;

/** Says what the program is called, and how many lines of its function are not its own. */
export function describe(path, lines) {
  program = path;
  above = lines;
}

/** What the program is called. */
export const programPath = () => program;

/** Has the engine note as many frames as are told of. */
export function isHereToStay() {
  Error.stackTraceLimit = MOST;
}

/** The stack of an error; text, or nothing. */
export function stackOf(error) {
  try {
    const { stack } = error;
    return typeof stack === "string" ? stack : "";
  } catch {
    return "";
  }
}

const FRAME = /^ {4}at (?:(.*) \((.*):(\d+):(\d+)\)|(?:async )?(.*):(\d+):(\d+))$/;

/** The frames of a stack that are neither this runtime's nor Node's own, as `{name, file, line, column}`. */
export function parse(stack) {
  if (typeof stack !== "string") return [];
  const found = [];
  for (const text of stack.split("\n")) {
    const frame = FRAME.exec(text);
    if (frame === null) continue;
    const [, name = "", named, namedLine, namedColumn, bare, bareLine, bareColumn] = frame;
    const file = named ?? bare;
    const line = Number(namedLine ?? bareLine);
    if (file.startsWith(OURS) || file.startsWith("node:") || file.startsWith("evalmachine.")) continue;
    const isProgram = file === PROGRAM;
    found.push({
      name: plain(name),
      file: isProgram ? program : file,
      line: line - (isProgram ? above : 0),
      column: Number(namedColumn ?? bareColumn),
    });
    if (found.length === MOST) break;
  }
  return found;
}

/** `Object.f [as g]` is V8's word for what users call `f`; what has no name it calls after how it was compiled. */
const plain = (name) =>
  name.replace(/ \[as .*\]$/, "").replace(/^(async )?(?:Object|exports|module)\./, "$1").replace(/^(?:async )?(?:\w+\.)?(?:eval|<anonymous>)$/, "");

/** The lines of a traceback. */
export function frames(stack) {
  return parse(stack).map(({ name, file, line, column }) => {
    const place = `${file}:${line}:${column}`;
    return name === "" ? `    at ${place}` : `    at ${name} (${place})`;
  });
}
