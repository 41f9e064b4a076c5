/** From requests to answers: deadlines, retries, and what an error means. */

import { sizeOf, textOf, watchedStream } from "./body.js";
import { Deadline, pause } from "./deadline.js";
import { asObject, CapsuleError, ConnectionFailed, ProtocolError, refusalOf } from "./errors.js";
import { failure } from "./failure.js";
import { variable } from "./platform.js";
import type { SocketAddress } from "./socket.js";
import type { CallOptions } from "./types.js";
import { unixFetch } from "./unix.js";

/** How a client is made. */
export interface ClientOptions {
  /** `http://…`, `https://…` or `unix:/path`. Default: `CAPSULE_URL`, else `http://127.0.0.1:8080`. */
  baseUrl?: string;
  /** Sent with every request. Default: `CAPSULE_API_KEY`. */
  apiKey?: string;
  /** What a call may take, beside the time that it gives its command. Default: 30000. */
  deadlineMs?: number;
  /** How long a stream, an upload or a download may stand still. Default: 45000. */
  silenceMs?: number;
  /**
   * How often a call is made again that could not be sent, or that broke off and does the
   * same when made twice. Default: 2.
   */
  retries?: number;
  /** In place of the platform's `fetch`. */
  fetch?: typeof fetch;
}

/** Made twice, they do what they do once. */
const IDEMPOTENT = new Set([
  "rpc.discover",
  "sandbox.v1.attach",
  "sandbox.v1.closeInput",
  "sandbox.v1.get",
  "sandbox.v1.list",
  "sandbox.v1.listDir",
  "sandbox.v1.logs",
  "sandbox.v1.mkdir",
  "sandbox.v1.processes",
  "sandbox.v1.readFile",
  "sandbox.v1.resize",
  "sandbox.v1.setEnv",
  "sandbox.v1.setNetwork",
  "sandbox.v1.snapshots",
  "sandbox.v1.stat",
  "sandbox.v1.stats",
  "sandbox.v1.templates",
  "sandbox.v1.wait",
  "sandbox.v1.watch",
  "sandbox.v1.watchDir",
  "sandbox.v1.writeFile",
  "volume.v1.list",
]);

/** What commands may take if nothing else is said, as the server has it; and what takes long. */
const TIMES: Readonly<Record<string, number>> = {
  "sandbox.v1.exec": 5_000,
  "sandbox.v1.runCode": 5_000,
  "sandbox.v1.execStream": 5_000,
  "sandbox.v1.wait": 5_000,
  "sandbox.v1.input": 5_000,
  "sandbox.v1.install": 120_000,
};
const LONG = new Set([
  "sandbox.v1.create",
  "sandbox.v1.clone",
  "sandbox.v1.snapshot",
  "sandbox.v1.restore",
]);

type Params = Record<string, unknown>;

/** Milliseconds that a call may take by what it asks for. */
export function commandTime(method: string, params: Params): number {
  const timeOf = (one: unknown, other: number): number => {
    const given = asObject(one)["timeout_ms"];
    return typeof given === "number" ? given : other;
  };
  if (method === "sandbox.v1.batch") {
    const commands = Array.isArray(params["commands"]) ? params["commands"] : [];
    return commands.reduce((sum: number, one: unknown) => sum + timeOf(one, 5_000), 0);
  }
  const known = TIMES[method];
  return known === undefined ? (LONG.has(method) ? 120_000 : 0) : timeOf(params, known);
}

/** The way to one server. */
export class Transport {
  readonly deadlineMs: number;
  readonly silenceMs: number;
  readonly #retries: number;
  readonly #base: string;
  readonly #unix: string | undefined;
  readonly #apiKey: string | undefined;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions) {
    const { baseUrl = variable("CAPSULE_URL") ?? "http://127.0.0.1:8080" } = options;
    this.deadlineMs = options.deadlineMs ?? 30_000;
    this.silenceMs = options.silenceMs ?? 45_000;
    this.#retries = options.retries ?? 2;
    this.#apiKey = options.apiKey ?? variable("CAPSULE_API_KEY");
    const unix = /^unix:\/*(\/.+)$/.exec(baseUrl)?.[1];
    this.#unix = unix;
    if (unix !== undefined) {
      this.#base = "http://localhost";
      this.#fetch = (input, init) => unixFetch(unix, String(input), init ?? {});
      return;
    }
    const url = new URL(baseUrl);
    if (!["http:", "https:"].includes(url.protocol) || url.username || url.search || url.hash) {
      throw new TypeError(
        `${baseUrl} is no http://, https:// or unix: address; give apiKey for a key`,
      );
    }
    this.#base = url.href.replace(/\/+$/, "");
    // As a function of its own: browsers look at what it is called on.
    const given = options.fetch;
    this.#fetch = (input, init) => (given ?? globalThis.fetch)(input, init);
  }

  /** The address of a WebSocket. */
  socket(target: string): SocketAddress {
    const url = this.#base.replace(/^http/, "ws") + target;
    return { url, apiKey: this.#apiKey, unix: this.#unix };
  }

  /** The result of a call of JSON-RPC. */
  async call(method: string, params: Params, options: CallOptions = {}): Promise<unknown> {
    const deadline = this.#deadline(method, params, options);
    try {
      return await this.#repeat(method, params, deadline, async (request) => {
        const response = await this.#ask(...request, deadline);
        return resultOf(response, await textOf(response, deadline));
      });
    } finally {
      deadline.clear();
    }
  }

  /** An answer of JSON-RPC that is a stream of events. The deadline goes on: extend or clear it. */
  async stream(
    method: string,
    params: Params,
    options: CallOptions = {},
  ): Promise<[Response, Deadline]> {
    const deadline = this.#deadline(method, params, options);
    try {
      const response = await this.#repeat(method, params, deadline, async (request) => {
        const answer = await this.#ask(...request, deadline);
        if (answer.status === 200 && kindOf(answer) === "text/event-stream") return answer;
        resultOf(answer, await textOf(answer, deadline));
        throw new ProtocolError("the server answered without a stream");
      });
      return [response, deadline];
    } catch (error) {
      deadline.clear();
      throw error;
    }
  }

  /** An answer to GET, whose body is to be read under the deadline. */
  async get(
    target: string,
    headers: Record<string, string>,
    options: CallOptions,
  ): Promise<[Response, Deadline]> {
    const deadline = new Deadline(
      options.deadlineMs ?? this.deadlineMs,
      `GET ${target}`,
      options.signal,
    );
    const id = crypto.randomUUID();
    try {
      const response = await this.#again(true, deadline, id, async () => {
        const answer = await this.#ask(target, { headers: this.#headers(id, headers) }, deadline);
        if (answer.status !== 200 && answer.status !== 206)
          refuse(answer, await textOf(answer, deadline));
        return answer;
      });
      return [response, deadline];
    } catch (error) {
      deadline.clear();
      throw error;
    }
  }

  /**
   * Sends a body. One that comes in pieces is sent as they come, and is not sent again; each
   * has to leave within the limit of silence.
   */
  async put(target: string, body: BodyInit, options: CallOptions): Promise<void> {
    const isStream = body instanceof ReadableStream;
    const given = options.deadlineMs ?? this.deadlineMs;
    // What cannot be watched may be as slow as 1 MB a second.
    const time = isStream ? this.silenceMs : given + sizeOf(body) / 1_000;
    const deadline = new Deadline(time, `PUT ${target}`, options.signal);
    const id = crypto.randomUUID();
    const headers = this.#headers(id, { "content-type": "application/octet-stream" });
    const watched = isStream ? watchedStream(body, deadline, this.silenceMs, given) : body;
    try {
      await this.#again(!isStream, deadline, id, async () => {
        const init = { method: "PUT", headers, body: watched, duplex: "half" } as RequestInit;
        const response = await this.#ask(target, init, deadline);
        const text = await textOf(response, deadline);
        if (response.status !== 200) refuse(response, text);
      });
    } finally {
      deadline.clear();
    }
  }

  #deadline(method: string, params: Params, { deadlineMs, signal }: CallOptions): Deadline {
    return new Deadline(
      deadlineMs ?? this.deadlineMs + commandTime(method, params),
      method,
      signal,
    );
  }

  #headers(id: string, others: Record<string, string>): Record<string, string> {
    const key =
      this.#apiKey === undefined ? undefined : { authorization: `Bearer ${this.#apiKey}` };
    return { "x-request-id": id, ...key, ...others };
  }

  #repeat<T>(
    method: string,
    params: Params,
    deadline: Deadline,
    once: (request: [string, RequestInit]) => Promise<T>,
  ): Promise<T> {
    const id = crypto.randomUUID();
    const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const headers = this.#headers(id, { "content-type": "application/json" });
    const isSafe =
      IDEMPOTENT.has(method) || (method === "sandbox.v1.create" && params["key"] !== undefined);
    return this.#again(isSafe, deadline, id, () =>
      once(["/rpc", { method: "POST", headers, body }]),
    );
  }

  async #again<T>(
    isSafe: boolean,
    deadline: Deadline,
    id: string,
    once: () => Promise<T>,
  ): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await once();
      } catch (error) {
        if (error instanceof CapsuleError) error.requestId = id;
        const wait = 100 * 4 ** attempt;
        const may = error instanceof ConnectionFailed && (error.nothingSent || isSafe);
        if (!may || attempt >= this.#retries || deadline.left <= wait) throw error;
        await deadline.race(pause(wait));
      }
    }
  }

  async #ask(target: string, init: RequestInit, deadline: Deadline): Promise<Response> {
    try {
      deadline.check();
      const { signal } = deadline;
      // A server of ours sends nobody elsewhere; a key does not follow anyone.
      const asked = this.#fetch(this.#base + target, { ...init, signal, redirect: "error" });
      return await deadline.race(asked);
    } catch (error) {
      throw failure(error, deadline, this.#unix === undefined ? this.#base : `unix:${this.#unix}`);
    }
  }
}

function kindOf(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
}

function parse(text: string): Record<string, unknown> {
  try {
    return asObject(JSON.parse(text));
  } catch {
    throw new ProtocolError("what the server sent is not JSON");
  }
}

function refuse(response: Response, text: string): never {
  if (kindOf(response) === "application/json") {
    const told = parse(text);
    if (told["error"] !== undefined) throw refusalOf(told["error"]);
  }
  throw new ProtocolError(`the server answered with HTTP status ${response.status}`);
}

function resultOf(response: Response, text: string): unknown {
  if (response.status !== 200) refuse(response, text);
  const told = parse(text);
  if (told["error"] !== undefined) throw refusalOf(told["error"]);
  if (!Object.hasOwn(told, "result"))
    throw new ProtocolError("what the server sent is no answer of JSON-RPC");
  return told["result"];
}
