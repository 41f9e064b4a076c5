/** The client: the way to a server, and what is not about one sandbox. */

import { textOf } from "./body.js";
import { asObject, NotFound } from "./errors.js";
import { Sandbox } from "./sandbox.js";
import { type ClientOptions, Transport } from "./transport.js";
import type {
  CallOptions,
  CreateOptions,
  ListAnswer,
  LogEntry,
  LogsOptions,
  SandboxAnswer,
  Snapshot,
  TemplateAnswer,
  Volume,
} from "./types.js";
import { answer, createdOf, field, params } from "./wire.js";

/**
 * A client of `capsule serve`.
 *
 * ```ts
 * const client = new CapsuleClient({ baseUrl: "http://localhost:8080" });
 * await using sandbox = await client.create({ template: "python" });
 * console.log((await sandbox.run("print(sum(range(10)))")).stdout);
 * ```
 */
export class CapsuleClient {
  readonly #transport: Transport;

  constructor(options: ClientOptions | string = {}) {
    this.#transport = new Transport(typeof options === "string" ? { baseUrl: options } : options);
  }

  /** The result of any method, as JSON has it. */
  async call<T = unknown>(
    method: string,
    asked: Record<string, unknown> = {},
    options: CallOptions = {},
  ): Promise<T> {
    return (await this.#transport.call(method, asked, options)) as T;
  }

  // --- sandboxes ---

  /**
   * Makes a sandbox (default: of the template `python`, for 10 minutes). With `key` the call can
   * be repeated, and is, if it breaks off.
   */
  async create(options: CreateOptions = {}): Promise<Sandbox> {
    const created = createdOf(await this.call("sandbox.v1.create", params(options), options));
    return new Sandbox(this.#transport, created.id, created);
  }

  /** A sandbox by its id. Nothing is asked. */
  sandbox(id: string): Sandbox {
    return new Sandbox(this.#transport, id);
  }

  /** Everything about a sandbox. */
  async get(id: string, options: CallOptions = {}): Promise<SandboxAnswer> {
    return await this.sandbox(id).info(options);
  }

  /** A page of the caller's sandboxes: those that carry all of the labels, after an id. */
  async list(
    options: CallOptions & { labels?: Record<string, string>; limit?: number; after?: string } = {},
  ): Promise<ListAnswer> {
    return answer(await this.call("sandbox.v1.list", params(options), options));
  }

  /** All of them, page by page. */
  async *sandboxes(
    options: CallOptions & { labels?: Record<string, string> } = {},
  ): AsyncGenerator<SandboxAnswer, void, undefined> {
    for (let after: string | undefined; ; ) {
      const page = await this.list(after === undefined ? options : { ...options, after });
      yield* page.sandboxes;
      after = page.sandboxes.at(-1)?.id;
      if (!page.more || after === undefined) return;
    }
  }

  /** Ends a sandbox. */
  async delete(id: string, options: CallOptions & { missingOk?: boolean } = {}): Promise<void> {
    try {
      await this.sandbox(id).delete(options);
    } catch (error) {
      if (!(options.missingOk && error instanceof NotFound)) throw error;
    }
  }

  /** What sandboxes can be made of. */
  async templates(options: CallOptions = {}): Promise<TemplateAnswer[]> {
    return field(await this.call("sandbox.v1.templates", {}, options), "templates");
  }

  /** Executions of the past, newest first; of one sandbox, which may have ended, or of all. */
  async logs(options: LogsOptions & { id?: string } = {}): Promise<LogEntry[]> {
    return field(await this.call("sandbox.v1.logs", params(options), options), "executions");
  }

  // --- snapshots and volumes ---

  /** A page of the snapshots that are kept. */
  async snapshots(
    options: CallOptions & { labels?: Record<string, string>; limit?: number; after?: string } = {},
  ): Promise<{ snapshots: Snapshot[]; more: boolean }> {
    return answer(await this.call("sandbox.v1.snapshots", params(options), options));
  }

  /** Forgets one. */
  async deleteSnapshot(snapshot: string | Snapshot, options: CallOptions = {}): Promise<void> {
    const which = typeof snapshot === "string" ? snapshot : snapshot.id;
    await this.call("sandbox.v1.deleteSnapshot", { snapshot: which }, options);
  }

  /** Makes a place for files that outlives sandboxes. */
  async createVolume(name: string, sizeBytes: number, options: CallOptions = {}): Promise<Volume> {
    return field(
      await this.call("volume.v1.create", params({ name, sizeBytes }), options),
      "volume",
    );
  }

  /** All of them. */
  async volumes(options: CallOptions = {}): Promise<Volume[]> {
    return field(await this.call("volume.v1.list", {}, options), "volumes");
  }

  /** Removes one, with all that it holds. */
  async deleteVolume(name: string, options: CallOptions = {}): Promise<void> {
    await this.call("volume.v1.delete", { name }, options);
  }

  // --- the server ---

  /** The OpenRPC document of the server. */
  async discover(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return asObject(await this.call("rpc.discover", {}, options));
  }

  /** Whether it lives, and its version; asked without a key. */
  async health(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return asObject(JSON.parse(await this.#get("/health", options)));
  }

  /** What the server's host can enforce. */
  async doctor(options: CallOptions = {}): Promise<Record<string, unknown>> {
    return asObject(JSON.parse(await this.#get("/doctor", options)));
  }

  /** The server's figures, as Prometheus reads them. */
  async metrics(options: CallOptions = {}): Promise<string> {
    return await this.#get("/metrics", options);
  }

  async #get(target: string, options: CallOptions): Promise<string> {
    const [response, deadline] = await this.#transport.get(target, {}, options);
    return await textOf(response, deadline);
  }
}
