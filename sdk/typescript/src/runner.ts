/** Running programs from outside: `run()`, `runJavaScript()`, `runPython()` and sessions. */

import { resolve } from "node:path";
import process from "node:process";

import { find } from "./binary.js";
import type { Channel, Frame } from "./protocol.js";
import { type Evaluation, envelope, evaluation, type Result } from "./result.js";
import { Printed, type SessionLanguage } from "./session.js";
import { field, listed } from "./values.js";
import { type OutputHandler, shared } from "./worker.js";

export {
  BinaryNotFound,
  CapsuleError,
  DeniedError,
  SessionLost,
  TaskError,
  WorkerError,
} from "./errors.js";
export type { Channel } from "./protocol.js";
export type { ErrorInfo, Evaluation, Execution, HostRequest, Result } from "./result.js";
export {
  type PieceOptions,
  Session,
  type SessionLanguage,
  type SessionOptions,
} from "./session.js";
export type { OutputHandler } from "./worker.js";

/** How to run, and how to give up. */
export interface WaitOptions {
  /** Ends the task, and all the tasks that it called, at once. */
  signal?: AbortSignal;
  /** Milliseconds after which it is ended, and a `TimeoutError` thrown. */
  timeout?: number;
  /**
   * Called with `"stdout"` or `"stderr"` and the bytes, as tasks print them; default: they go
   * to this process's standard error; null drops them.
   */
  onOutput?: OutputHandler | null;
  /** The capsule binary; default: `CAPSULE_BIN`, the package's own, or the one on `PATH`. */
  capsulePath?: string;
}

/** What to run. */
export interface RunOptions extends WaitOptions {
  /** The program, `"main.ts"` or `"main.py"`; default: the entrypoint of `capsule.toml`. */
  file?: string;
  /**
   * The program's text, instead of `file`. It imports packages that are installed for `cwd`,
   * and no file of it.
   */
  source?: string;
  /** What `source` is called in stacks: `"main.ts"`. Its ending tells the language. */
  name?: string;
  /** The language of `source`; default: as `name` ends, else `"typescript"`. */
  language?: "typescript" | "javascript" | "python";
  /** Arguments of the task. */
  args?: readonly unknown[];
  /** Keyword arguments of a task in Python. */
  kwargs?: Readonly<Record<string, unknown>>;
  /** The task to call; default: `"main"`. */
  task?: string;
  /**
   * Files and folders that every task of the run sees: `"HOST"`, `"HOST::GUEST"`, each with
   * `:ro` or `:rw` (default) behind it.
   */
  mounts?: readonly string[];
  /** What relative paths are relative to; default: the current folder. */
  cwd?: string;
}

/** Prints what a task prints, to standard error: standard output may be somebody's protocol. */
export function printOutput(_channel: Channel, data: Uint8Array): void {
  process.stderr.write(data);
}

/**
 * Runs a task of a program, each task in a sandbox of its own.
 *
 * What happens in the sandbox is told by the result: `success`, `result`, `error`,
 * `execution`. Thrown is only what keeps Capsule from running it: BinaryNotFound,
 * WorkerError, and TypeError for arguments that JSON cannot hold.
 */
export async function run<R = unknown>(options: RunOptions = {}): Promise<Result<R>> {
  return envelope<R>(await ask(request(options), options, options.onOutput));
}

/** How to run code, and how to give up. */
export interface CodeOptions extends WaitOptions {
  /** What the code is called in stacks. */
  name?: string;
}

/**
 * Runs JavaScript in a sandbox without any right: no files, no network, no environment.
 *
 * ```ts
 * `${await runJavaScript("console.log('Hello'); 5 + 3")}`; // "Hello\n8"
 * ```
 *
 * TypeScript is taken, too, and `await` may stand anywhere. Each call has a sandbox of its own;
 * {@link Session} keeps one, and takes options. Code that fails is a TaskError.
 */
export function runJavaScript(code: string, options: CodeOptions = {}): Promise<Evaluation> {
  return evaluate("javascript", code, options);
}

/** As {@link runJavaScript}, for Python. */
export function runPython(code: string, options: CodeOptions = {}): Promise<Evaluation> {
  return evaluate("python", code, options);
}

async function evaluate(
  language: SessionLanguage,
  code: string,
  options: CodeOptions,
): Promise<Evaluation> {
  const printed = new Printed(options.onOutput);
  const fields = ['"op":"evaluate"', field("language", language), field("code", code)];
  if (options.name !== undefined) fields.push(field("name", options.name));
  const frame = await ask(fields.join(","), options, printed.hear);
  return evaluation(frame, printed.text("stdout"), printed.text("stderr"));
}

function ask(body: string, options: WaitOptions, onOutput?: OutputHandler | null): Promise<Frame> {
  const { timeout, capsulePath } = options;
  let { signal } = options;
  if (timeout !== undefined) {
    const deadline = AbortSignal.timeout(timeout);
    signal = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  }
  const handler = onOutput === undefined ? printOutput : onOutput;
  return shared(find(capsulePath)).ask(body, handler, signal);
}

function request(options: RunOptions): string {
  const { file, source, name, language, args, kwargs, task, mounts, cwd } = options;
  if (file !== undefined && source !== undefined) {
    throw new TypeError("run() takes a file or a source, not both");
  }
  const fields = ['"op":"run"', field("cwd", cwd === undefined ? process.cwd() : resolve(cwd))];
  if (file !== undefined) fields.push(field("file", file));
  if (source !== undefined) {
    fields.push(field("source", source));
    if (name !== undefined) fields.push(field("name", name));
    const told = language ?? (name === undefined ? "typescript" : undefined);
    if (told !== undefined) fields.push(field("language", told));
  }
  if (args !== undefined) fields.push(field("args", listed(args, "args")));
  if (kwargs !== undefined) fields.push(field("kwargs", { ...kwargs }));
  if (task !== undefined) fields.push(field("task", task));
  if (mounts !== undefined) fields.push(field("mounts", listed(mounts, "mounts")));
  return fields.join(",");
}
