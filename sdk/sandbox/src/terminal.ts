/** A terminal over a WebSocket. */

import { Deadline } from "./deadline.js";
import { type CapsuleError, ConnectionFailed, DeadlineExceeded } from "./errors.js";
import { openSocket, type Socket } from "./socket.js";
import type { Transport } from "./transport.js";
import type { CallOptions } from "./types.js";

/** Output of a terminal. */
export interface TerminalMessage {
  readonly type: "message";
  /** As text. A character whose bytes are not complete yet comes with the next one. */
  readonly data: string;
  readonly bytes: Uint8Array;
}

/** How a terminal was closed. */
export interface TerminalClose {
  readonly type: "close";
  /** 1000 the process ended, 4001 the sandbox did, 1006 the connection broke off, … */
  readonly code: number;
  readonly reason: string;
  /** The exit code of its process, if that has ended. */
  readonly exitCode: number | undefined;
}

/** Why it could not be opened, or was given up. */
export interface TerminalFailure {
  readonly type: "error";
  readonly error: CapsuleError;
}

interface TerminalEvents {
  open: { readonly type: "open" };
  message: TerminalMessage;
  close: TerminalClose;
  error: TerminalFailure;
}

type Listener<T> = (event: T) => void;

/** How a terminal is opened. */
export interface TerminalOptions extends CallOptions {
  columns?: number;
  rows?: number;
  /** The process whose terminal it is, in place of a shell of its own. */
  process?: number;
  /** Where its output begins. */
  offset?: number;
}

/**
 * A terminal of a sandbox, which can be used as a `WebSocket` is (`onmessage`, `send`, `close`),
 * or as an async iterable of text. What is sent before it is open is kept until then.
 */
export class Terminal implements AsyncIterable<string>, AsyncDisposable {
  onopen: Listener<TerminalEvents["open"]> | null = null;
  onmessage: Listener<TerminalMessage> | null = null;
  onclose: Listener<TerminalClose> | null = null;
  onerror: Listener<TerminalFailure> | null = null;
  /** Settles once, when it is open or cannot be opened. */
  readonly opened: Promise<void>;
  /** Answers when it is closed, however that came. */
  readonly closed: Promise<TerminalClose>;

  readonly #transport: Transport;
  readonly #socket: Socket;
  readonly #opening: Deadline;
  readonly #decoder = new TextDecoder();
  readonly #listeners = new Map<string, Set<Listener<never>>>();
  #isOpen = false;
  #ended: TerminalClose | undefined;
  #failure: CapsuleError | undefined;
  #waiting: (string | Uint8Array)[] = [];
  /** Text that nobody has asked for yet; kept only for whoever iterates. */
  #texts: string[] | undefined;
  #wake = (): void => {};
  #watch: ReturnType<typeof setTimeout> | undefined;
  #settle!: {
    open: () => void;
    fail: (error: unknown) => void;
    close: (end: TerminalClose) => void;
  };

  constructor(transport: Transport, target: string, options: CallOptions) {
    this.#transport = transport;
    this.opened = new Promise((open, fail) => {
      this.#settle = { open, fail, close: () => {} };
    });
    this.opened.catch(() => {});
    this.closed = new Promise((close) => {
      this.#settle.close = close;
    });
    this.#opening = new Deadline(
      options.deadlineMs ?? transport.deadlineMs,
      "the terminal",
      options.signal,
    );
    this.#opening.signal.addEventListener("abort", () => this.#giveUp(this.#opening.signal.reason));
    this.#socket = openSocket(transport.socket(target), {
      opened: () => this.#open(),
      message: (data) => this.#hear(data),
      closed: (code, reason, error) => this.#end(code, reason, error),
    });
  }

  /** 0 until it is open, then 1, and 3 when it is closed. */
  get readyState(): 0 | 1 | 3 {
    return this.#ended !== undefined ? 3 : this.#isOpen ? 1 : 0;
  }

  /** The exit code of its process, once that has ended. */
  get exitCode(): number | undefined {
    return this.#ended?.exitCode;
  }

  /** Types something. */
  send(data: string | Uint8Array | ArrayBuffer): void {
    // Text frames are commands here.
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
    for (let begin = 0; begin < bytes.length; begin += 65_536)
      this.#send(bytes.slice(begin, begin + 65_536));
  }

  /** Changes its size. */
  resize(columns: number, rows: number): void {
    this.#send(JSON.stringify({ resize: { columns, rows } }));
  }

  /** Sends a signal to all that runs in it. */
  signal(number: number): void {
    this.#send(JSON.stringify({ signal: number }));
  }

  /** Closes it, and ends its shell. */
  close(): void {
    if (this.#ended !== undefined) return;
    this.#socket.close(1000);
    this.#end(1005, "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  addEventListener<K extends keyof TerminalEvents>(
    type: K,
    listener: Listener<TerminalEvents[K]>,
  ): void {
    const known = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, known.add(listener as Listener<never>));
  }

  removeEventListener<K extends keyof TerminalEvents>(
    type: K,
    listener: Listener<TerminalEvents[K]>,
  ): void {
    this.#listeners.get(type)?.delete(listener as Listener<never>);
  }

  /** Its output as text, until it is closed. Throws if it broke off. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    this.#texts ??= [];
    while (true) {
      const text = this.#texts.shift();
      if (text !== undefined) yield text;
      else if (this.#ended !== undefined) {
        if (this.#failure !== undefined) throw this.#failure;
        return;
      } else {
        await new Promise<void>((wake) => {
          this.#wake = wake;
        });
      }
    }
  }

  #send(data: string | Uint8Array): void {
    if (this.#ended !== undefined) throw new ConnectionFailed("the terminal is closed");
    if (this.#isOpen) this.#socket.send(data);
    else this.#waiting.push(data);
  }

  #open(): void {
    if (this.#ended !== undefined) return;
    this.#opening.clear();
    this.#isOpen = true;
    for (const data of this.#waiting.splice(0)) this.#socket.send(data);
    this.#settle.open();
    this.#tell("open", { type: "open" });
    this.#lookAgain();
  }

  #hear(bytes: Uint8Array): void {
    if (this.#ended !== undefined) return;
    this.#lookAgain();
    const data = this.#decoder.decode(bytes, { stream: true });
    this.#texts?.push(data);
    this.#wake();
    this.#tell("message", { type: "message", data, bytes });
  }

  /** A quiet terminal is looked at: a page hears no pings, so the server is asked. */
  #lookAgain(): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(async () => {
      try {
        const [response, deadline] = await this.#transport.get("/health", {}, {});
        deadline.clear();
        await response.body?.cancel();
        if (this.#ended === undefined) this.#lookAgain();
      } catch (error) {
        this.#giveUp(error);
      }
    }, this.#transport.silenceMs);
    // It alone keeps no program alive.
    (this.#watch as { unref?: () => void }).unref?.();
  }

  #giveUp(reason: unknown): void {
    if (this.#ended !== undefined) return;
    const known = reason instanceof DeadlineExceeded || reason instanceof ConnectionFailed;
    const error = known
      ? reason
      : new ConnectionFailed(`the terminal was given up: ${reason}`, { cause: reason });
    this.#end(1006, "", error);
    this.#socket.close(1000);
  }

  #end(code: number, reason: string, error?: CapsuleError): void {
    if (this.#ended !== undefined) return;
    clearTimeout(this.#watch);
    this.#opening.clear();
    const exit = code === 1000 ? /^exit (-?\d+)$/.exec(reason)?.[1] : undefined;
    const end: TerminalClose = {
      type: "close",
      code,
      reason,
      exitCode: exit === undefined ? undefined : Number(exit),
    };
    this.#ended = end;
    const broke = code === 1006 ? new ConnectionFailed("the terminal broke off") : undefined;
    this.#failure = error ?? broke;
    this.#waiting = [];
    this.#settle.fail(this.#failure ?? new ConnectionFailed("the terminal was closed"));
    if (this.#failure !== undefined) this.#tell("error", { type: "error", error: this.#failure });
    this.#tell("close", end);
    this.#settle.close(end);
    this.#wake();
  }

  #tell<K extends keyof TerminalEvents>(type: K, event: TerminalEvents[K]): void {
    const own = this[`on${type}`] as Listener<TerminalEvents[K]> | null;
    const others = [...(this.#listeners.get(type) ?? [])] as unknown as Listener<
      TerminalEvents[K]
    >[];
    for (const listener of own === null ? others : [own, ...others]) listener.call(this, event);
  }
}
