/** `task()`: a function that runs in a sandbox of its own when it is called. */

import { CapsuleError } from "./errors.js";
import { begin } from "./local.js";

/** A file or folder, and how it may be used. */
export interface AllowedFile {
  path: string;
  mode?: "ro" | "read-only" | "rw" | "read-write";
}

/**
 * What a task may do and use. What is not said here, `capsule.toml` may say. An option that
 * cannot be honoured is an error with file and line, never a limit that is not there.
 */
export interface TaskOptions {
  /** What the task is called; default: the function's name. */
  name?: string;
  /** `"LOW"`, `"MEDIUM"` (default), `"HIGH"`, or an exact number of fuel units. */
  compute?: "LOW" | "MEDIUM" | "HIGH" | (string & {}) | number | bigint;
  /** Memory, `"512MB"`, `"64MiB"`, or bytes; default `"256MiB"`. */
  ram?: string | number;
  /** `"30s"`, `"5m"`, or milliseconds; default `"5m"`. */
  timeout?: string | number;
  /** How often a failed task is tried again; default 0. */
  maxRetries?: number;
  /**
   * Files and folders of the project; `"./data"` may be read and written,
   * `{ path: "./data", mode: "ro" }` only read; default: none.
   */
  allowedFiles?: readonly (string | AllowedFile)[];
  /**
   * Hosts that may be reached: `"api.example.com"`, `"*.example.com"`, `"*"`, each with an
   * optional `:port`; default: none.
   */
  allowedHosts?: readonly string[];
  /** Names of environment variables that the task sees; default: none. */
  envVariables?: readonly string[];
  /** `"wasm"` (default), or `"jail"`: Node in a Linux jail, where native packages work. */
  isolation?: "wasm" | "jail";
}

/** A call of a task: a promise of its value. */
export interface Submission<R> extends Promise<R> {
  /** Ends the task, and all that it called; false if it had ended already. */
  cancel(): boolean;
}

/** How a call can be given up. */
export interface CallOptions {
  /** Ends the call when it is aborted; the promise is rejected with its reason. */
  signal?: AbortSignal;
}

/** A function that runs in a sandbox of its own. */
export interface Task<A extends unknown[], R> {
  /** Runs it; several calls run in parallel. */
  (...args: A): Submission<R>;
  /** What other tasks and `capsule run --task` call it. */
  readonly name: string;
  /** The same as calling it: it begins at once. */
  submit(...args: A): Submission<R>;
  /**
   * Runs it once for each item, in parallel; the values in the order of the items. The first
   * failure is thrown after all have ended.
   */
  map(items: Iterable<A[0]>, options?: CallOptions): Promise<R[]>;
  /** The task with options for one call: `work.with({ signal }).run(1)`. */
  with(options: CallOptions): { run(...args: A): Submission<R> };
}

const OPTIONS: ReadonlySet<string> = new Set([
  "name",
  "compute",
  "ram",
  "timeout",
  "maxRetries",
  "allowedFiles",
  "allowedHosts",
  "envVariables",
  "isolation",
] satisfies (keyof TaskOptions)[]);

/**
 * Makes a function a task.
 *
 * ```ts
 * export const square = task({ name: "square", ram: "64MB" }, (n: number) => n * n);
 * const four = await square(2);
 * ```
 *
 * Outside of a sandbox a task is its function, so that programs can be unit-tested: nothing is
 * isolated, limited or retried.
 */
export function task<A extends unknown[], R>(fn: (...args: A) => R): Task<A, Awaited<R>>;
export function task<A extends unknown[], R>(
  options: TaskOptions,
  fn: (...args: A) => R,
): Task<A, Awaited<R>>;
export function task<A extends unknown[], R>(
  given: TaskOptions | ((...args: A) => R),
  last?: (...args: A) => R,
): Task<A, Awaited<R>> {
  const options = typeof given === "function" ? {} : given;
  const fn = typeof given === "function" ? given : last;
  if (typeof fn !== "function" || typeof options !== "object" || options === null) {
    throw new TypeError("task() takes options and a function: task({ name: … }, function)");
  }
  const unknown = Object.keys(options).find((key) => !OPTIONS.has(key));
  if (unknown !== undefined) throw new TypeError(`task() has no option "${unknown}"`);
  const name = options.name ?? fn.name;
  if (typeof name !== "string" || name === "") {
    throw new TypeError("a task of a function without a name needs the option name");
  }
  return calling<A, Awaited<R>>(name, fn);
}

/** What calls a function as the task of this name. */
function calling<A extends unknown[], R>(name: string, fn: (...args: A) => unknown): Task<A, R> {
  const submit = (...args: A) => begin<R>(name, () => fn(...args), undefined);
  const made = (...args: A) => submit(...args);
  return Object.defineProperties(made, {
    name: { value: name },
    submit: { value: submit },
    map: {
      value: async (items: Iterable<A[0]>, { signal }: CallOptions = {}) => {
        const call = (item: A[0]) => begin<R>(name, () => fn(...([item] as unknown as A)), signal);
        const ends = await Promise.allSettled(Array.from(items, call));
        const failed = ends.find((end) => end.status === "rejected");
        if (failed !== undefined) throw failed.reason;
        return ends.map((end) => (end as PromiseFulfilledResult<Awaited<R>>).value);
      },
    },
    with: {
      value: ({ signal }: CallOptions) => ({
        run: (...args: A) => begin<R>(name, () => fn(...args), signal),
      }),
    },
  }) as Task<A, R>;
}

const PROGRAM = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/**
 * A task of another program of the project, which may be in another language: `program` is its
 * name below `[programs]` in `capsule.toml`, `task` what the task is called there.
 *
 * ```ts
 * const summary = taskOf<[text: string], Summary>("analyse", "summary");
 * const { words } = await summary("a text");
 * ```
 *
 * What it takes and returns is said here and not checked. Outside of a sandbox a call of it is
 * an error: only `capsule run` and `run()` know other programs.
 */
export function taskOf<A extends unknown[] = unknown[], R = unknown>(
  program: string,
  task: string,
): Task<A, R> {
  for (const word of [program, task]) {
    if (typeof word !== "string") {
      throw new TypeError(
        `taskOf() takes the names of a program and of a task, not ${typeof word}`,
      );
    }
  }
  if (!PROGRAM.test(program)) {
    const advice = "capsule.toml has them, below [programs]";
    throw new RangeError(`"${program}" is no name of a program: ${advice}`);
  }
  if (task === "") throw new RangeError(`"" is no name of a task`);
  const name = `${program}:${task}`;
  return calling<A, R>(name, () => {
    throw new CapsuleError(
      `task "${name}" is one of another program, which runs in sandboxes only: ` +
        "run the program that calls it with `capsule run FILE`, or run() of @capsule-run/sdk/runner",
    );
  });
}
