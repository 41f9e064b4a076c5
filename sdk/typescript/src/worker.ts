/**
 * The worker of this process: one `capsule worker` for each binary, started when it is first
 * needed and again after it has died.
 *
 * It keeps this process alive while somebody waits for an answer, and no longer; it ends with
 * it, however that ends, because its standard input is closed then.
 */

import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import process from "node:process";

import { WorkerError } from "./errors.js";
import { type Channel, type Frame, Incoming, PROTOCOL, pack, piece, textOf } from "./protocol.js";

/** Hears what a task prints, as it prints it. */
export type OutputHandler = (channel: Channel, data: Uint8Array) => void;

interface Waiter {
  onOutput: OutputHandler | null;
  resolve(frame: Frame): void;
  reject(error: unknown): void;
}

const MOST_SAID = 4096;

/** One `capsule worker`. */
export class Worker {
  readonly binary: string;
  isDead = false;
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, Waiter>();
  #next = 0;
  #heard = false;
  #end: WorkerError | undefined;
  /** What it knows of this process's environment. */
  #environment: string;

  constructor(binary: string) {
    this.binary = binary;
    this.#environment = JSON.stringify(process.env);
    this.#process = spawn(binary, ["worker"], {
      stdio: ["pipe", "pipe", "inherit"],
      // The terminal's Ctrl-C is for this process, which may still need the worker.
      detached: true,
    });
    this.#process.on("error", (error) => this.#die(`cannot be started: ${error.message}`));
    this.#process.on("exit", (code, signal) => {
      this.#die(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
    // A worker that is gone is seen by its exit.
    this.#process.stdin?.on("error", () => {});
    const incoming = new Incoming();
    this.#process.stdout?.on("data", (data: Buffer) => {
      try {
        for (const frame of incoming.add(data)) this.#hear(frame);
      } catch (error) {
        this.#die(error instanceof Error ? error.message : String(error));
      }
    });
    this.#rest();
  }

  /** The answer to a request; aborted, it ends what it asked for. */
  ask(body: string, onOutput: OutputHandler | null, signal?: AbortSignal): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#end !== undefined) return reject(again(this.#end));
      const number = ++this.#next;
      let request: Uint8Array;
      try {
        request = pack(`{"id":${number},${body}}`);
      } catch (error) {
        return reject(error);
      }
      const settle = () => {
        this.#waiting.delete(number);
        signal?.removeEventListener("abort", aborted);
        if (this.#waiting.size === 0) this.#rest();
      };
      const giveUp = (reason: unknown) => {
        if (!this.#waiting.has(number)) return;
        settle();
        this.#write(pack(`{"id":${number},"op":"cancel"}`));
        reject(reason);
      };
      const aborted = () => giveUp(signal?.reason);
      signal?.addEventListener("abort", aborted, { once: true });
      this.#waiting.set(number, {
        onOutput: onOutput === null ? null : guarded(onOutput, giveUp),
        resolve: (frame) => {
          settle();
          resolve(frame);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      // Once, not for each: Bun counts.
      if (this.#waiting.size === 1) this.#wake();
      this.#tellEnvironment();
      this.#write(request);
    });
  }

  /** Ends it, and everything that runs in it. */
  close(): void {
    this.#process.stdin?.end();
    this.#die("it was closed");
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  #hear(frame: Frame): void {
    if (!this.#heard) {
      this.#heard = true;
      const { hello } = JSON.parse(textOf(frame.bytes)) as { hello?: { protocol?: unknown } };
      if (hello?.protocol !== PROTOCOL) {
        throw new Error(`it speaks protocol ${hello?.protocol}, this package ${PROTOCOL}`);
      }
      return;
    }
    const waiter = frame.request === undefined ? undefined : this.#waiting.get(frame.request);
    if (waiter === undefined) return;
    if (!frame.isOutput) waiter.resolve(frame);
    else waiter.onOutput?.(...piece(frame));
  }

  #tellEnvironment(): void {
    const current = JSON.stringify(process.env);
    if (current === this.#environment) return;
    this.#environment = current;
    this.#write(pack(`{"op":"environment","variables":${current}}`));
  }

  #write(frame: Uint8Array): void {
    if (!this.isDead) this.#process.stdin?.write(frame);
  }

  /** The worker is gone, or of no use. */
  #die(how: string): void {
    if (this.isDead) return;
    this.isDead = true;
    this.#process.kill("SIGKILL");
    const hint = this.#heard
      ? ""
      : `is ${this.binary} the capsule binary that belongs to this package?`;
    const said = how.slice(0, MOST_SAID);
    this.#end = new WorkerError(`the worker ended: ${said}`, { hint, retryable: this.#heard });
    for (const waiter of [...this.#waiting.values()]) waiter.reject(again(this.#end));
    this.#process.stdout?.destroy();
    this.#process.stdin?.destroy();
  }

  #wake(): void {
    this.#process.ref();
    (this.#process.stdout as Socket | null)?.ref?.();
  }

  /** Nobody waits: this process may end. */
  #rest(): void {
    this.#process.unref();
    (this.#process.stdout as Socket | null)?.unref?.();
    (this.#process.stdin as Socket | null)?.unref?.();
  }
}

/** A handler that throws ends the call that it belongs to, and nothing else. */
function guarded(handler: OutputHandler, giveUp: (reason: unknown) => void): OutputHandler {
  return (channel, data) => {
    try {
      handler(channel, data);
    } catch (error) {
      giveUp(error);
    }
  };
}

/** The same error, to be thrown once more: each has a stack of its own. */
function again(error: WorkerError): WorkerError {
  const { hint, retryable, message } = error;
  const plain = hint === "" ? message : message.slice(0, -`\nhint: ${hint}`.length);
  return new WorkerError(plain, { hint, retryable });
}

const workers = new Map<string, Worker>();

/** The worker of this process; a dead one is replaced. */
export function shared(binary: string): Worker {
  const known = workers.get(binary);
  if (known !== undefined && !known.isDead) return known;
  const worker = new Worker(binary);
  workers.set(binary, worker);
  return worker;
}
