/** Sessions: code whose names live from one piece to the next, in one sandbox. */

import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import process from "node:process";

import { find } from "./binary.js";
import { SessionLost, WorkerError } from "./errors.js";
import type { Channel, Frame } from "./protocol.js";
import { done, type Evaluation, evaluation } from "./result.js";
import type { TaskOptions } from "./task.js";
import { field, listed } from "./values.js";
import { type OutputHandler, shared, type Worker } from "./worker.js";

/** Languages of sessions. */
export type SessionLanguage = "javascript" | "python";

/** What a session is, and what it may do. */
export interface SessionOptions
  extends Pick<TaskOptions, "compute" | "ram" | "timeout" | "allowedHosts" | "envVariables"> {
  /** Files and folders of the host that it sees, as for `run()`. */
  mounts?: readonly string[];
  /** What relative paths of the host are relative to; default: the current folder. */
  cwd?: string;
  /** Hears what code prints, while it runs; all of it is in the answer too. */
  onOutput?: OutputHandler | null;
  /** The capsule binary, as for `run()`. */
  capsulePath?: string;
}

/** How to give up one piece of code. */
export interface PieceOptions {
  /** Ends the code at once. The session is lost then, until `reset()`. */
  signal?: AbortSignal;
}

/**
 * A session.
 *
 * ```ts
 * const session = new Session();
 * await session.run("let x = 1");
 * console.log(`${await session.run("x + 1")}`); // 2
 * await session.close();
 * ```
 *
 * It sees no file of the host but its own folder, `workspace`. What it holds in memory is lost
 * when code runs out of time or fuel or crashes, or is given up; the next use says so
 * (SessionLost), until `reset()`.
 */
export class Session {
  readonly #name = randomUUID().replaceAll("-", "");
  readonly #cwd: string;
  readonly #wanted: string;
  readonly #onOutput: OutputHandler | null;
  readonly #capsulePath: string | undefined;
  #worker: Worker | undefined;
  #isClosed = false;

  /** It begins when its first code runs. */
  constructor(type: SessionLanguage = "javascript", options: SessionOptions = {}) {
    if (type !== "javascript" && type !== "python") {
      throw new TypeError(
        `a session of "${String(type)}" cannot be had; "javascript" and "python" can`,
      );
    }
    const { compute, ram, timeout, allowedHosts, envVariables, mounts = [] } = options;
    this.#cwd = options.cwd === undefined ? process.cwd() : resolve(options.cwd);
    this.#onOutput = options.onOutput ?? null;
    this.#capsulePath = options.capsulePath;
    const given = {
      compute,
      ram,
      timeout,
      allowed_hosts: allowedHosts && listed(allowedHosts, "allowedHosts"),
      env_variables: envVariables && listed(envVariables, "envVariables"),
    };
    this.#wanted = [
      field("session", this.#name),
      field("language", type),
      field("cwd", this.#cwd),
      field("options", given),
      field("mounts", listed(mounts, "mounts")),
    ].join(",");
  }

  /**
   * Runs code: what it printed, and the value of its last expression. TypeScript is taken, too,
   * and `await` may stand anywhere. Code that throws is a TaskError, and the session lives on.
   */
  async run(code: string, { signal }: PieceOptions = {}): Promise<Evaluation> {
    const printed = new Printed(this.#onOutput);
    const body = `"op":"evaluate",${this.#wanted},${field("code", code)}`;
    const frame = await this.#ask(body, printed.hear, signal);
    return evaluation(frame, printed.text("stdout"), printed.text("stderr"));
  }

  /** Copies a file or folder of the host into the workspace; where it is there. */
  async importFile(source: string, destination: string): Promise<string> {
    done(await this.#ask(this.#work("import", { from: source, to: destination })));
    return `/workspace/${destination.replace(/^\/workspace\//, "")}`;
  }

  /**
   * Copies a file of the workspace to the host; where it is there. A link that code has put
   * there is not followed; folders of the host that are missing are made.
   */
  async exportFile(source: string, destination: string): Promise<string> {
    done(await this.#ask(this.#work("export", { from: source, to: destination })));
    return resolve(this.#cwd, destination);
  }

  /** Removes a file or folder of the workspace. */
  async deleteFile(path: string): Promise<void> {
    done(await this.#ask(this.#work("delete", { path })));
  }

  /** Forgets all names, in a new sandbox. The files of the workspace stay. */
  async reset(): Promise<void> {
    if (this.#worker?.isDead) this.#worker = undefined;
    done(await this.#ask(this.#work("reset", {})));
  }

  /** Ends it, and removes its files. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    forgotten.unregister(this);
    if (this.#worker !== undefined) await end({ worker: this.#worker, name: this.#name });
  }

  #work(op: string, fields: Record<string, string>): string {
    const given = Object.entries(fields).map(([name, value]) => `,${field(name, value)}`);
    return `"op":"${op}",${this.#wanted}${given.join("")}`;
  }

  #ask(body: string, onOutput: OutputHandler | null = null, signal?: AbortSignal): Promise<Frame> {
    return this.#place().ask(body, onOutput, signal);
  }

  /** A session lives in one worker: another one would answer as if nothing had been before. */
  #place(): Worker {
    if (this.#isClosed) throw new WorkerError("the session is closed");
    if (this.#worker === undefined) {
      this.#worker = shared(find(this.#capsulePath));
      forgotten.unregister(this);
      forgotten.register(this, { worker: this.#worker, name: this.#name }, this);
    } else if (this.#worker.isDead) {
      throw new SessionLost("the session was lost with its worker", {
        errorType: "SessionLost",
        code: "E3009",
        hint: "all that it held, its files too, is lost; reset() begins anew",
      });
    }
    return this.#worker;
  }
}

interface Place {
  worker: Worker;
  name: string;
}

async function end({ worker, name }: Place): Promise<void> {
  // That its worker is gone ended it as well.
  await worker.ask(`"op":"close",${field("session", name)}`, null).catch(() => {});
}

/** Sessions that nobody has any more end, too. */
const forgotten = new FinalizationRegistry<Place>((place) => void end(place));

/** Keeps what is printed, and passes it on. */
export class Printed {
  readonly #pieces: Record<Channel, Uint8Array[]> = { stdout: [], stderr: [] };
  readonly hear: OutputHandler;

  constructor(onOutput: OutputHandler | null | undefined) {
    this.hear = (channel, data) => {
      this.#pieces[channel].push(data);
      onOutput?.(channel, data);
    };
  }

  text(channel: Channel): string {
    return Buffer.concat(this.#pieces[channel]).toString();
  }
}
