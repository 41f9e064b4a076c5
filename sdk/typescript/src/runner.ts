/** Running programs from outside: `run()` and `runJavaScript()`. */

import { resolve } from "node:path";
import process from "node:process";

import { find } from "./binary.js";
import type { Channel, Frame } from "./protocol.js";
import { type Evaluation, envelope, evaluation, type Result } from "./result.js";
import { encode } from "./values.js";
import { type OutputHandler, shared } from "./worker.js";

export { BinaryNotFound, CapsuleError, DeniedError, TaskError, WorkerError } from "./errors.js";
export type { Channel } from "./protocol.js";
export type { ErrorInfo, Evaluation, Execution, HostRequest, Result } from "./result.js";
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
  /** The program's text, instead of `file`. */
  source?: string;
  /** The language of `source`; default: `"typescript"`. */
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

/**
 * Runs JavaScript in a sandbox without any right: no files, no network, no environment.
 *
 * ```ts
 * `${await runJavaScript("console.log('Hello'); 5 + 3")}`; // "Hello\n8"
 * ```
 *
 * Each call has a sandbox of its own. Code that fails is a TaskError.
 */
export async function runJavaScript(code: string, options: WaitOptions = {}): Promise<Evaluation> {
  const printed: Record<Channel, Uint8Array[]> = { stdout: [], stderr: [] };
  const keep: OutputHandler = (channel, data) => {
    printed[channel].push(data);
    options.onOutput?.(channel, data);
  };
  const fields = [
    '"op":"evaluate"',
    field("cwd", process.cwd()),
    // The ending tells the language.
    field("name", "code.js"),
    field("code", code),
  ];
  const frame = await ask(fields.join(","), options, keep);
  const text = (channel: Channel) => Buffer.concat(printed[channel]).toString();
  return evaluation(frame, text("stdout"), text("stderr"));
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

const ENDINGS = { typescript: "ts", javascript: "js", python: "py" } as const;

function request(options: RunOptions): string {
  const { file, source, language = "typescript", args, kwargs, task, mounts, cwd } = options;
  if (file !== undefined && source !== undefined) {
    throw new TypeError("run() takes a file or a source, not both");
  }
  const fields = ['"op":"run"', field("cwd", cwd === undefined ? process.cwd() : resolve(cwd))];
  if (file !== undefined) fields.push(field("file", file));
  if (source !== undefined) {
    fields.push(field("source", source), field("name", `main.${ENDINGS[language]}`));
  }
  if (args !== undefined) fields.push(field("args", listed(args, "args")));
  if (kwargs !== undefined) fields.push(field("kwargs", { ...kwargs }));
  if (task !== undefined) fields.push(field("task", task));
  if (mounts !== undefined) fields.push(field("mounts", listed(mounts, "mounts")));
  return fields.join(",");
}

/** A field of a request. */
function field(name: string, value: unknown): string {
  return `"${name}":${encode(value, name)}`;
}

/** Text can be iterated, too, and is never what is meant. */
function listed<T>(values: readonly T[], name: string): readonly T[] {
  if (!Array.isArray(values)) throw new TypeError(`${name} is a list: write ${name}: […]`);
  return values;
}
