/**
 * Streams of events, as async iterables. No stream is silent for longer than it may be: the
 * server shows every 15 seconds that it lives.
 */

import { piecesOf } from "./body.js";
import { type Deadline, pause } from "./deadline.js";
import { asObject, ConnectionFailed, ProtocolError, refusalOf } from "./errors.js";
import type { Transport } from "./transport.js";
import type { CallOptions, Exit, FileEvent, OutputEvent } from "./types.js";
import { answer, fromBase64 } from "./wire.js";

/** Longest event. The server's are far shorter. */
const MOST_EVENT = 8 << 20;

/** An event as it came. */
interface Raw {
  name: string;
  data: string;
}

/** Server-sent events, from text. The server ends its lines with a line feed. */
export class Incoming {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #name = "";
  #data: string[] = [];
  #size = 0;

  *add(piece: Uint8Array): Generator<Raw> {
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const text = line.endsWith("\r") ? line.slice(0, -1) : line;
      if (text === "") {
        if (this.#data.length > 0) yield { name: this.#name, data: this.#data.join("\n") };
        [this.#name, this.#data, this.#size] = ["", [], 0];
      } else if (text.startsWith("event: ")) this.#name = text.slice(7);
      else if (text.startsWith("data: ")) {
        this.#data.push(text.slice(6));
        this.#size += text.length;
      }
    }
    if (this.#rest.length + this.#size > MOST_EVENT) {
      throw new ProtocolError("the server sent an event without end");
    }
  }
}

async function* events(
  transport: Transport,
  method: string,
  params: Record<string, unknown>,
  options: CallOptions,
  begun: (deadline: Deadline) => void,
): AsyncGenerator<Raw, void, undefined> {
  const [response, deadline] = await transport.stream(method, params, options);
  begun(deadline);
  const incoming = new Incoming();
  for await (const piece of piecesOf(response, deadline, transport.silenceMs))
    yield* incoming.add(piece);
}

/**
 * A stream of events: `for await` it. It begins when it is first read from; it ends by itself,
 * when the loop is left, or with `close()`.
 */
export abstract class Stream<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  #events: AsyncGenerator<T, void, undefined> | undefined;
  #deadline: Deadline | undefined;
  #isClosed = false;

  protected abstract read(begun: (deadline: Deadline) => void): AsyncGenerator<T, void, undefined>;

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.#isClosed) return { done: true, value: undefined };
    this.#events ??= this.read((deadline) => {
      this.#deadline = deadline;
      if (this.#isClosed) deadline.abort();
    });
    try {
      const { done, value } = await this.#events.next();
      return done === true ? { done, value: undefined } : { done: false, value: value as T };
    } catch (error) {
      // Whoever closed it knows why it ended.
      if (this.#isClosed) return { done: true, value: undefined };
      throw error;
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends it. What the server did for this stream alone, it ends too. */
  close(): void {
    this.#isClosed = true;
    this.#deadline?.abort();
    // A generator that waits ends when what it waits for does.
    this.#events?.return().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/**
 * What a process writes, as it writes it. The last event is `exit`. A stream that breaks off
 * before is an error, if the process ended with it; that of a process that goes on is taken up
 * where it was.
 */
export class Output extends Stream<OutputEvent> {
  readonly #transport: Transport;
  readonly #method: string;
  readonly #params: Record<string, unknown>;
  readonly #options: CallOptions;
  readonly #canReturn: boolean;
  readonly #text = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  #process: number | undefined;
  #next = 0;

  constructor(
    transport: Transport,
    method: string,
    params: Record<string, unknown>,
    options: CallOptions,
    canReturn: boolean,
  ) {
    super();
    this.#transport = transport;
    this.#method = method;
    this.#params = { ...params };
    this.#options = options;
    this.#canReturn = canReturn;
    this.#next = Number(params["offset"] ?? 0);
  }

  /** The number of the process, once it is known. */
  get process(): number | undefined {
    return this.#process;
  }

  /** Where another reader would go on. */
  get offset(): number {
    return this.#next;
  }

  protected async *read(
    begun: (deadline: Deadline) => void,
  ): AsyncGenerator<OutputEvent, void, undefined> {
    for (let failures = 0; ; failures++) {
      try {
        for await (const raw of events(
          this.#transport,
          this.#method,
          this.#params,
          this.#options,
          begun,
        )) {
          const event = this.#event(raw);
          if (event === undefined) continue;
          yield event;
          if (event.kind === "exit") return;
          failures = 0;
        }
      } catch (error) {
        if (!(error instanceof ConnectionFailed) || !this.#canReturn || failures >= 3) throw error;
      }
      if (!this.#canReturn || failures >= 3) {
        throw new ConnectionFailed("the stream broke off before the process ended");
      }
      await pause(100 * 4 ** failures);
      this.#params["offset"] = this.#next;
    }
  }

  #event({ name, data }: Raw): OutputEvent | undefined {
    const fields = inner(name, data);
    switch (name) {
      case "started":
        this.#process = numberOf(fields, "process");
        return { kind: "started", process: this.#process };
      case "exit":
        return { kind: "exit", exit: answer<Exit>(fields) };
      case "gap":
        this.#next = numberOf(fields, "next");
        return { kind: "gap", bytes: numberOf(fields, "bytes"), next: this.#next };
      case "stdout":
      case "stderr": {
        this.#next = numberOf(fields, "next");
        const bytes = fromBase64(fields["data"]);
        const text = this.#text[name].decode(bytes, { stream: true });
        return { kind: name, data: bytes, text, next: this.#next };
      }
      default:
        return undefined;
    }
  }
}

/** The states of a sandbox, from now on; `"gone"` is the last. */
export class States extends Stream<string> {
  readonly #begin: (begun: (deadline: Deadline) => void) => AsyncGenerator<Raw, void, undefined>;

  constructor(transport: Transport, params: Record<string, unknown>, options: CallOptions) {
    super();
    this.#begin = (begun) => events(transport, "sandbox.v1.watch", params, options, begun);
  }

  protected async *read(
    begun: (deadline: Deadline) => void,
  ): AsyncGenerator<string, void, undefined> {
    for await (const { name, data } of this.#begin(begun)) {
      if (name !== "state") continue;
      const { state } = parsed(data);
      if (typeof state !== "string")
        throw new ProtocolError("the server sent a state that is none");
      yield state;
    }
  }
}

/** What happens to the files of a directory. */
export class Changes extends Stream<FileEvent> {
  readonly #begin: (begun: (deadline: Deadline) => void) => AsyncGenerator<Raw, void, undefined>;
  readonly #early: IteratorResult<FileEvent, undefined>[] = [];
  #isStarted = false;

  constructor(transport: Transport, params: Record<string, unknown>, options: CallOptions) {
    super();
    this.#begin = (begun) => events(transport, "sandbox.v1.watchDir", params, options, begun);
  }

  /** Answers when the server watches: from then on nothing is missed. */
  async started(): Promise<void> {
    if (this.#isStarted) return;
    const first = await super.next();
    if (first.done || first.value !== STARTED) this.#early.push(first);
  }

  override async next(): Promise<IteratorResult<FileEvent, undefined>> {
    const early = this.#early.shift();
    if (early !== undefined) return early;
    while (true) {
      const found = await super.next();
      if (found.done || found.value !== STARTED) return found;
    }
  }

  protected async *read(
    begun: (deadline: Deadline) => void,
  ): AsyncGenerator<FileEvent, void, undefined> {
    for await (const { name, data } of this.#begin(begun)) {
      const { error, file, ...plain } = parsed(data);
      if (error !== undefined) throw refusalOf(error);
      const isFirst = !this.#isStarted;
      this.#isStarted = true;
      if (name === "gap") yield { kind: "gap" };
      else if (name === "file") yield answer<FileEvent>(file ?? plain);
      else if (isFirst) yield STARTED;
    }
  }
}

/** Stands for the event that tells that there is nothing to tell yet; nobody else sees it. */
const STARTED: FileEvent = { kind: "gap" };

function parsed(data: string): Record<string, unknown> {
  try {
    return asObject(JSON.parse(data));
  } catch {
    throw new ProtocolError("the server sent an event that is not JSON");
  }
}

/** The event's name is the name of its only field. */
function inner(name: string, data: string): Record<string, unknown> {
  const { error, [name]: fields } = parsed(data);
  if (error !== undefined) throw refusalOf(error);
  return asObject(fields);
}

function numberOf(fields: Record<string, unknown>, name: string): number {
  const value = fields[name];
  if (typeof value !== "number")
    throw new ProtocolError(`the server sent an event without ${name}`);
  return value;
}
