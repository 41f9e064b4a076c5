// `task()`: a function that runs in a sandbox of its own when it is called.

import { call, cancel } from "capsule:guest/host@0.1.0";

import { DeniedError, TaskError } from "./errors.js";
import { nearest } from "./nearest.js";
import * as operations from "./operations.js";
import { parse, programPath, stackOf } from "./stack.js";
import { decode, encodeArguments } from "./values.js";

/** What the program declared, by name. */
export const tasks = new Map();

const records = new WeakMap();

/** What was declared with this function; undefined if it is no task. */
export const recordOf = (value) => records.get(value);

/** Options in camelCase, and what the host calls them. */
const OPTIONS = new Map([
  ["name", "name"],
  ["compute", "compute"],
  ["ram", "ram"],
  ["timeout", "timeout"],
  ["maxRetries", "max_retries"],
  ["allowedFiles", "allowed_files"],
  ["allowedHosts", "allowed_hosts"],
  ["envVariables", "env_variables"],
  ["isolation", "isolation"],
]);

/** Declares a task: `task(options, function)`, or `task(function)` with no option at all. */
export function task(options, run) {
  if (typeof options === "function" && run === undefined) [options, run] = [{}, options];
  if (typeof run !== "function" || typeof options !== "object" || options === null) {
    throw new TypeError("task() takes options and a function: task({ name: … }, function)");
  }
  const given = {};
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const known = OPTIONS.get(key);
    if (known === undefined) {
      throw new TypeError(`task() has no option "${key}"${nearest(key, OPTIONS.keys())}`);
    }
    given[known] = plain(value, key);
  }
  const name = given.name ?? run.name;
  if (typeof name !== "string" || name === "") {
    throw new TypeError("a task of a function without a name needs the option name");
  }
  given.name = name;
  const other = tasks.get(name);
  if (other !== undefined) {
    const { file, line } = placeOf(other.place);
    throw new Error(`two tasks are named "${name}"; the other is at ${file}:${line}`);
  }
  const record = { name, run, options: given, place: notesPlaces ? new Error() : undefined };
  tasks.set(name, record);
  return callable(record);
}

/** Tasks of other programs that were named while the program was loaded. */
export const named = [];

/** A task of another program of the project: `taskOf("render", "page")`. */
export function taskOf(program, task) {
  for (const word of [program, task]) {
    if (typeof word !== "string") {
      throw new TypeError(`taskOf() takes the names of a program and of a task, not ${typeof word}`);
    }
  }
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(program)) {
    throw new RangeError(`"${program}" is no name of a program: capsule.toml has them, below [programs]`);
  }
  if (task === "" || !task.isWellFormed()) throw new RangeError(`"${task}" is no name of a task`);
  const name = `${program}:${task}`;
  if (notesPlaces) named.push({ name, place: new Error() });
  return calling(name);
}

/** Options are what JSON can hold; anything else is refused here, by its place. */
function plain(value, where) {
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map((item) => plain(item, where));
  if (typeof value === "object" && value !== null && !(Symbol.iterator in value)) {
    const pairs = Object.entries(value).filter(([, item]) => item !== undefined);
    return Object.fromEntries(pairs.map(([key, item]) => [key, plain(item, where)]));
  }
  throw new TypeError(`the option ${where} cannot be ${value === null ? "null" : typeof value}`);
}

let notesPlaces = false;

/** Whether it matters where tasks are declared: it costs time. */
export function notePlaces(matters) {
  notesPlaces = matters;
}

/** Where a task was declared: what stood above `task()`. */
export const placeOf = (error) =>
  (error && parse(stackOf(error))[0]) ?? { file: programPath(), line: 1, column: 1 };

function callable(record) {
  const task = calling(record.name);
  records.set(task, record);
  return task;
}

/** What calls the task of this name. */
function calling(name) {
  const task = (...given) => submit(name, given);
  return Object.defineProperties(task, {
    name: { value: name },
    submit: { value: (...given) => submit(name, given) },
    map: { value: (items, options) => map(name, items, options) },
    with: { value: (options) => ({ run: (...given) => submit(name, given, options) }) },
  });
}

/** Begins a call: a promise of its value, with `cancel()`. */
function submit(name, given, { signal } = {}) {
  signal?.throwIfAborted();
  const begun = begin(name, given);
  const { number } = begun;
  let giveUp;
  const value = new Promise((resolve, reject) => {
    const settled = () => signal?.removeEventListener("abort", aborted);
    giveUp = (reason) => {
      if (!operations.forget(number, cancel)) return false;
      settled();
      reject(reason);
      return true;
    };
    const aborted = () => giveUp(signal.reason);
    signal?.addEventListener("abort", aborted);
    begun.bytes.then(
      (bytes) => {
        settled();
        return decode(decoder.decode(bytes));
      },
      (failure) => {
        settled();
        throw explain(name, failure);
      },
    ).then(resolve, reject);
  });
  return Object.defineProperty(value, "cancel", {
    value: () => giveUp(new TaskError(`task "${name}" was cancelled`, { task: name, errorType: "Cancelled" })),
  });
}

const decoder = new TextDecoder();

function begin(name, given) {
  const text = encodeArguments(given, `the call of ${name}`);
  try {
    return operations.begin(call, name, text);
  } catch (failure) {
    throw explain(name, failure);
  }
}

function explain(name, failure) {
  if (!(failure instanceof operations.HostFailure)) return failure;
  const { kind, message, detail } = failure;
  if (kind === "Denied") return new DeniedError(message);
  const text = `task "${name}" failed: ${kind}: ${message}`;
  const [code, ...lines] = detail.split("\n");
  return new TaskError(text, { task: name, errorType: kind, code, traceback: lines.join("\n") });
}

/** Calls a task once for each item, in parallel; the first failure once all have ended. */
async function map(name, items, options) {
  const calls = Array.from(items, (item) => submit(name, [item], options));
  const ends = await Promise.allSettled(calls);
  const failed = ends.find(({ status }) => status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return ends.map(({ value }) => value);
}
