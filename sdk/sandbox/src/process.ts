/** A process that outlives the request that started it. */

import { Output } from "./events.js";
import type { Sandbox } from "./sandbox.js";
import type { Terminal } from "./terminal.js";
import type { Transport } from "./transport.js";
import type { CallOptions, Exit } from "./types.js";
import { field, params, toBase64 } from "./wire.js";

/** What one request carries. */
const PIECE = 4 << 20;

/** A process of a sandbox. Making one starts nothing. */
export class Process {
  readonly sandbox: Sandbox;
  /** Its number in the sandbox. */
  readonly number: number;
  readonly #transport: Transport;

  constructor(sandbox: Sandbox, transport: Transport, number: number) {
    this.sandbox = sandbox;
    this.number = number;
    this.#transport = transport;
  }

  /**
   * What it wrote, as far as it is kept, and what it will. A stream that breaks off is taken up
   * where it was. `offset` is the `next` of an event, to begin behind it.
   */
  output(options: CallOptions & { offset?: number } = {}): Output {
    const asked = { id: this.sandbox.id, process: this.number, offset: options.offset ?? 0 };
    return new Output(this.#transport, "sandbox.v1.attach", asked, options, true);
  }

  /** How it ended; null if it still runs after `timeoutMs` (default 5000). */
  async wait(options: CallOptions & { timeoutMs?: number } = {}): Promise<Exit | null> {
    const told = await this.#call("wait", {}, options);
    return told !== null && typeof told === "object" && "exit" in told
      ? field<Exit | null>(told, "exit")
      : null;
  }

  /**
   * Writes to its standard input, or types in its terminal. What it does not read within
   * `timeoutMs` (default 5000) is an `ExecTimeout`.
   */
  async input(
    data: string | Uint8Array,
    options: CallOptions & { timeoutMs?: number } = {},
  ): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let begin = 0; begin < Math.max(bytes.length, 1); begin += PIECE) {
      await this.#call("input", { data: toBase64(bytes.subarray(begin, begin + PIECE)) }, options);
    }
  }

  /** Closes its standard input. */
  async closeInput(options: CallOptions = {}): Promise<void> {
    await this.#call("closeInput", {}, options);
  }

  /** Sends a signal (default 9), to all that it started too unless `tree` is false. */
  async kill(options: CallOptions & { signalNumber?: number; tree?: boolean } = {}): Promise<void> {
    const { signalNumber, ...others } = options;
    await this.#call("kill", signalNumber === undefined ? {} : { signal: signalNumber }, others);
  }

  /** Changes the size of its terminal. */
  async resize(columns: number, rows: number, options: CallOptions = {}): Promise<void> {
    await this.#call("resize", { columns, rows }, options);
  }

  /** Its terminal, if it was started with one. The process goes on when it is closed. */
  connectTerminal(options: CallOptions & { offset?: number } = {}): Terminal {
    return this.sandbox.connectTerminal({ ...options, process: this.number });
  }

  async #call(
    method: string,
    own: Record<string, unknown>,
    options: CallOptions,
  ): Promise<unknown> {
    const asked = { id: this.sandbox.id, process: this.number, ...params(options), ...own };
    return await this.#transport.call(`sandbox.v1.${method}`, asked, options);
  }
}
