// The user's program: how it is loaded, and how its tasks are called.

import { source } from "capsule:guest/host@0.1.0";

import * as environment from "./environment.js";
import { setArguments } from "./process.js";
import { require } from "./require.js";
import * as stack from "./stack.js";
import { recordOf, tasks } from "./task.js";
import { decode } from "./values.js";

/** What the text becomes: a CommonJS module. Line 1 stays line 1. */
const HEAD = "(function (exports, require, module, __filename, __dirname) {";
const TAIL = "\n})";
// Indirect, so that it sees no name of this file.
const evaluate = eval;
let path = "";
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Runs the program's top level; what it declares, as JSON. */
export function load(pairs) {
  environment.fill(pairs ?? [], pairs === undefined);
  const found = source("");
  path = found.path;
  stack.describe(path, HEAD.length);
  const file = `/${path.split("/").pop()}`;
  setArguments(file);
  const text = decoder.decode(found.source);
  const run = evaluate(`${HEAD}${text.replace(/^#!/, "//")}${TAIL}\n//# sourceURL=${stack.PROGRAM}`);
  const module = { exports: {}, id: ".", filename: file, loaded: false, children: [], paths: [] };
  run.call(module.exports, module.exports, require, module, file, "/");
  module.loaded = true;
  addMain(module.exports);
  return JSON.stringify({ tasks: [...tasks.values()].map(description), pure: !environment.looked() });
}

/** A program without a task `main` gets one: what it exports as `main`, or nothing but its top level. */
function addMain(exports) {
  if (tasks.has("main")) return;
  const [main] = [exports?.main, exports?.default, exports].filter(
    (value) => typeof value === "function",
  );
  const record = recordOf(main);
  if (record !== undefined) {
    // The export `main` is the entry, whatever its task is called.
    tasks.set("main", { ...record, name: "main", options: { ...record.options, name: "main" } });
  } else if (main !== undefined || tasks.size === 0) {
    const run = main ?? (() => {});
    const place = { file: path, line: 1, column: 1 };
    tasks.set("main", { name: "main", run, options: { name: "main" }, place });
  }
}

function description({ name, options, place: { file, line, column } }) {
  return { name, options, file, line, column };
}

/** Calls a task's function. */
export function invoke(name, given, pairs) {
  environment.fill(pairs, false);
  const { args, kwargs } = decode(given);
  const task = tasks.get(name);
  if (task === undefined) throw new ReferenceError(`the program has no task "${name}"`);
  // Named arguments, which Python has, arrive as one object after the others.
  const named = Object.keys(kwargs).length > 0 ? [kwargs] : [];
  return task.run(...args, ...named);
}
