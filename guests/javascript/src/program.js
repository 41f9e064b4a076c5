// The user's program: how it is loaded, and how its tasks are called.

import { source } from "capsule:guest/host@0.1.0";

import * as environment from "./environment.js";
import { setArguments } from "./process.js";
import { require } from "./require.js";
import * as stack from "./stack.js";
import { named, notePlaces, placeOf, recordOf, tasks } from "./task.js";
import { decode } from "./values.js";

/** What the text, a CommonJS module, sees. */
const NAMES = ["exports", "require", "module", "__filename", "__dirname"];
/** Lines that the engine writes above the body of a function that is made of its text. */
const LINES = 2;
let path = "";
/** The program as a function that was not called yet. */
let unrun;
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Where the program comes from; another place while the runtime is built. */
let find = source;

/** Reads the program's text, and runs nothing of it. */
export function read() {
  const found = find("");
  path = found.path;
  stack.describe(path, LINES);
  const file = `/${path.split("/").pop()}`;
  setArguments(file);
  let text = decoder.decode(found.source);
  if (text.startsWith("#!")) text = `//${text.slice(2)}`;
  // As a body, which no text can leave: `})` in it is an error.
  unrun = { file, run: Function(...NAMES, `${text}\n//# sourceURL=${stack.PROGRAM}`) };
}

/** Runs the program's top level; what it declares, as JSON, if it is loaded for that. */
export function load(pairs) {
  const declares = pairs === undefined;
  environment.fill(pairs ?? [], declares);
  notePlaces(declares);
  if (unrun === undefined) read();
  const { file, run } = unrun;
  unrun = undefined;
  const module = { exports: {}, id: ".", filename: file, loaded: false, children: [], paths: [] };
  run.call(module.exports, module.exports, require, module, file, "/");
  module.loaded = true;
  addMain(module.exports);
  if (!declares) return "";
  // What is named from here on is looked up when it is called.
  notePlaces(false);
  const uses = named.map(({ name, place }) => ({ ...placeOf(place), name }));
  return JSON.stringify({ tasks: [...tasks.values()].map(description), uses, ...environment.told() });
}

/** A program without a task `main` gets one: what it exports as `main`, or nothing but its top level. */
function addMain(exports) {
  if (tasks.has("main")) return;
  const isFunction = (value) => typeof value === "function";
  const main = [exports?.main, exports?.default, exports].find(isFunction);
  const record = recordOf(main);
  if (record !== undefined) {
    // The export `main` is the entry, whatever its task is called.
    tasks.set("main", { ...record, name: "main", options: { ...record.options, name: "main" } });
  } else if (main !== undefined || tasks.size === 0) {
    const run = main ?? (() => {});
    tasks.set("main", { name: "main", run, options: { name: "main" }, place: undefined });
  }
}

/** Forgets the program; the next comes from `other`, or the host. */
export function forget(other = source) {
  find = other;
  tasks.clear();
  named.length = 0;
  environment.fill([], false);
  stack.describe("", 0);
  setArguments("");
}

function description({ name, options, place }) {
  const { file, line, column } = placeOf(place);
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
