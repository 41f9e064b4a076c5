/** A sandbox: commands, processes, files, its life. */

import { CommandFailed, NotFound, ProtocolError } from "./errors.js";
import { Changes, Output, States } from "./events.js";
import { bodyOf, Download, readLocal, type Source, saveLocal } from "./files.js";
import { Process } from "./process.js";
import { Terminal, type TerminalOptions } from "./terminal.js";
import type { Transport } from "./transport.js";
import type {
  BatchAnswer,
  BatchCommand,
  CallOptions,
  CloneOptions,
  Created,
  ExecAnswer,
  ExecOptions,
  ExecResult,
  ExecStreamOptions,
  FileEntry,
  Listed,
  LogEntry,
  LogsOptions,
  Network,
  ProcessAnswer,
  RunCodeOptions,
  SandboxAnswer,
  Snapshot,
  StartOptions,
  StatsAnswer,
} from "./types.js";
import { answer, createdOf, field, params, toBase64 } from "./wire.js";

/**
 * A sandbox. `await using` deletes it at the end.
 *
 * Every method takes `deadlineMs`, the time that the call as a whole may take, and `signal`;
 * what a command may take is `timeoutMs`, which the server enforces.
 */
export class Sandbox implements AsyncDisposable {
  /** What the server calls it. */
  readonly id: string;
  /** What was told when it was made; undefined if it was found by its id. */
  readonly created: Created | undefined;
  readonly #transport: Transport;

  constructor(transport: Transport, id: string, created?: Created) {
    this.#transport = transport;
    this.id = id;
    this.created = created;
  }

  // --- commands ---

  /** Runs source text, in the template's language unless `language` says another. */
  async run(code: string, options: RunCodeOptions = {}): Promise<ExecResult> {
    return resultOf(await this.#call("runCode", { code, ...params(options) }, options));
  }

  /** Runs a command to its end. No shell reads it. One that fails is a result, not an error. */
  async exec(cmd: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return resultOf(await this.#call("exec", { cmd, ...execParams(options) }, options));
  }

  /** Runs several commands, one after the other; each is a list of words, or has options. */
  async batch(
    commands: readonly (readonly string[] | BatchCommand)[],
    options: CallOptions & { stopOnFailure?: boolean } = {},
  ): Promise<BatchAnswer> {
    const each = commands.map((one) =>
      "cmd" in one ? { ...execParams(one), cmd: one.cmd } : { cmd: one },
    );
    const told = await this.#call("batch", { commands: each, ...params(options) }, options);
    const results = field<ExecAnswer[]>(told, "results").map(withCheck);
    return { ...answer<BatchAnswer>(told), results };
  }

  /**
   * Runs a command and tells its output as it comes. It ends with the stream. With `input`,
   * `sandbox.process(output.process)` takes input.
   */
  execStream(cmd: readonly string[], options: ExecStreamOptions = {}): Output {
    const asked = { id: this.id, cmd, ...params(options) };
    return new Output(this.#transport, "sandbox.v1.execStream", asked, options, false);
  }

  /** Sets and removes variables for what is started later. */
  async setEnv(
    env: Record<string, string>,
    options: CallOptions & { unset?: string[] } = {},
  ): Promise<void> {
    await this.#call("setEnv", { env, ...params(options) }, options);
  }

  /** Opens a shell context: shell code in it leaves its directory and its exported variables. */
  async openContext(
    context: string,
    options: CallOptions & { cwd?: string; env?: Record<string, string> } = {},
  ): Promise<void> {
    await this.#call("openContext", { context, ...params(options) }, options);
  }

  /** Installs packages into the workspace; `manager` is `pip` if it is not said. */
  async install(
    packages: readonly string[],
    options: CallOptions & { manager?: "pip" | "npm"; timeoutMs?: number } = {},
  ): Promise<ExecResult> {
    const asked = { manager: "pip", packages, ...params(options) };
    return resultOf(await this.#call("install", asked, options));
  }

  /** Executions of the past, newest first. */
  async logs(options: LogsOptions = {}): Promise<LogEntry[]> {
    return field(await this.#call("logs", params(options), options), "executions");
  }

  // --- processes ---

  /** Starts a process that outlives the request. */
  async start(cmd: readonly string[], options: StartOptions = {}): Promise<Process> {
    const told = await this.#call("start", { cmd, ...params(options) }, options);
    return this.process(field<number>(told, "process"));
  }

  /** A process by its number. Nothing is asked. */
  process(number: number): Process {
    return new Process(this, this.#transport, number);
  }

  /** Processes that were started, and those that ended of late. */
  async processes(options: CallOptions = {}): Promise<ProcessAnswer[]> {
    return field(await this.#call("processes", {}, options), "processes");
  }

  // --- terminals ---

  /** A login shell in a terminal, or the terminal of a process. It opens while you go on. */
  connectTerminal(options: TerminalOptions = {}): Terminal {
    const { columns, rows, process, offset } = options;
    const target = this.#path("terminal", { control: 1, columns, rows, process, offset });
    return new Terminal(this.#transport, target, options);
  }

  /**
   * The address of its terminal, for a WebSocket client of your own: the server sends raw bytes,
   * and what it is sent is typed. A key goes along as the protocol `capsule.key.KEY`.
   */
  getTerminalUrl(): string {
    return this.#transport.socket(this.#path("terminal", {})).url;
  }

  // --- files ---

  /** Writes a file of any size, and makes the directories above it; `mode` is that of a new file. */
  async writeFile(
    path: string,
    content: Source,
    options: CallOptions & { mode?: number } = {},
  ): Promise<void> {
    await this.upload(content, path, options);
  }

  /** The content of a file, as bytes, in memory. */
  async readFile(path: string, options: CallOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const download = await this.openFile(path, options);
    return await download.bytes(options.deadlineMs ?? this.#transport.deadlineMs);
  }

  /** The content of a file, as text. */
  async readFileText(path: string, options: CallOptions = {}): Promise<string> {
    return new TextDecoder().decode(await this.readFile(path, options));
  }

  /** Uploads what a string, bytes, a `Blob`, a stream or an async iterable holds. */
  async upload(
    source: Source,
    path: string,
    options: CallOptions & { mode?: number } = {},
  ): Promise<void> {
    const target = this.#path("files", { path, mode: options.mode?.toString(8) });
    await this.#transport.put(target, bodyOf(source), options);
  }

  /** Uploads a local file; never more than a piece of it is in memory. Not in a page. */
  async uploadFile(
    local: string,
    path: string,
    options: CallOptions & { mode?: number } = {},
  ): Promise<void> {
    await this.upload(readLocal(local), path, options);
  }

  /** Downloads to a local file, which is then whole or not there. Gives the size. Not in a page. */
  async downloadFile(path: string, local: string, options: CallOptions = {}): Promise<number> {
    return await saveLocal(await this.openFile(path, options), local);
  }

  /** The content of a file as it comes; of the bytes from `start` to before `end`, if given. */
  async openFile(
    path: string,
    options: CallOptions & { start?: number; end?: number } = {},
  ): Promise<Download> {
    const { start = 0, end } = options;
    const isPart = options.start !== undefined || end !== undefined;
    if (start < 0 || (end !== undefined && end <= start)) {
      throw new RangeError(`there is no byte from ${start} to before ${end}`);
    }
    const headers = isPart ? { range: `bytes=${start}-${end === undefined ? "" : end - 1}` } : {};
    const [response, deadline] = await this.#transport.get(
      this.#path("files", { path }),
      headers as never,
      options,
    );
    const download = new Download(response, deadline, this.#transport.silenceMs);
    if (isPart && response.status !== 206) {
      download.close();
      throw new ProtocolError("the server does not serve parts of a file");
    }
    return download;
  }

  /** Unpacks a tar archive below a directory. */
  async uploadArchive(
    source: Source,
    path = "/workspace",
    options: CallOptions = {},
  ): Promise<void> {
    await this.#transport.put(
      this.#path("files", { path, archive: "tar" }),
      bodyOf(source),
      options,
    );
  }

  /** A directory as a tar archive, as it comes. */
  async openArchive(path = "/workspace", options: CallOptions = {}): Promise<Download> {
    const target = this.#path("files", { path, archive: "tar" });
    const [response, deadline] = await this.#transport.get(target, {}, options);
    return new Download(response, deadline, this.#transport.silenceMs);
  }

  /** A directory as a tar archive, into a local file. Gives the size. Not in a page. */
  async downloadArchive(
    local: string,
    path = "/workspace",
    options: CallOptions = {},
  ): Promise<number> {
    return await saveLocal(await this.openArchive(path, options), local);
  }

  /** What a directory holds, by name. */
  async listDir(
    path = "/workspace",
    options: CallOptions & { limit?: number } = {},
  ): Promise<Listed[]> {
    return field(await this.#call("listDir", { path, ...params(options) }, options), "files");
  }

  /** What a path is; a link is not followed. */
  async stat(path: string, options: CallOptions = {}): Promise<FileEntry> {
    return answer(await this.#call("stat", { path }, options));
  }

  /** Makes a directory, and those above it. */
  async mkdir(path: string, options: CallOptions = {}): Promise<void> {
    await this.#call("mkdir", { path }, options);
  }

  /** Gives a file or directory another name; a file of that name is replaced. */
  async move(from: string, to: string, options: CallOptions = {}): Promise<void> {
    await this.#call("move", { from, to }, options);
  }

  /** Removes a file, or a directory. */
  async remove(path: string, options: CallOptions & { recursive?: boolean } = {}): Promise<void> {
    await this.#call("remove", { path, ...params(options) }, options);
  }

  /** What happens to the files of a directory, as it happens. */
  watchDir(path = "/workspace", options: CallOptions & { recursive?: boolean } = {}): Changes {
    return new Changes(this.#transport, { id: this.id, path, ...params(options) }, options);
  }

  // --- its life ---

  /** Everything about it. */
  async info(options: CallOptions = {}): Promise<SandboxAnswer> {
    return answer(await this.#call("get", {}, options));
  }

  /** Lets it live so long from now; can be less than it had. */
  async extend(
    ttlMs: number,
    options: CallOptions & { idleMs?: number } = {},
  ): Promise<SandboxAnswer> {
    return answer(await this.#call("extend", params({ ttlMs, ...options }), options));
  }

  /** Stops all its processes where they are. */
  async pause(options: CallOptions = {}): Promise<SandboxAnswer> {
    return answer(await this.#call("pause", {}, options));
  }

  /** Lets them go on. */
  async resume(options: CallOptions = {}): Promise<SandboxAnswer> {
    return answer(await this.#call("resume", {}, options));
  }

  /** What it uses. */
  async stats(options: CallOptions = {}): Promise<StatsAnswer> {
    return answer(await this.#call("stats", {}, options));
  }

  /** Its states, from now on, until it is gone. */
  watch(options: CallOptions = {}): States {
    return new States(this.#transport, { id: this.id }, options);
  }

  /** Changes which hosts it may reach: `"denied"` or `{ allow: ["host", …] }`. */
  async setNetwork(network: Network, options: CallOptions = {}): Promise<SandboxAnswer> {
    return answer(await this.#call("setNetwork", { network }, options));
  }

  /** Keeps its files as they are. */
  async snapshot(
    options: CallOptions & { name?: string; labels?: Record<string, string> } = {},
  ): Promise<Snapshot> {
    return field(await this.#call("snapshot", params(options), options), "snapshot");
  }

  /** Makes its files what they were; what runs in it is ended. */
  async restore(snapshot: string | Snapshot, options: CallOptions = {}): Promise<SandboxAnswer> {
    const which = typeof snapshot === "string" ? snapshot : snapshot.id;
    return answer(await this.#call("restore", { snapshot: which }, options));
  }

  /** Another sandbox with the same files. */
  async clone(options: CloneOptions = {}): Promise<Sandbox> {
    const created = createdOf(await this.#call("clone", params(options), options));
    return new Sandbox(this.#transport, created.id, created);
  }

  /** Ends it, and removes every trace of it. */
  async delete(options: CallOptions = {}): Promise<void> {
    await this.#call("delete", {}, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.delete();
    } catch (error) {
      // Its time was over.
      if (!(error instanceof NotFound)) throw error;
    }
  }

  #call(method: string, asked: Record<string, unknown>, options: CallOptions): Promise<unknown> {
    return this.#transport.call(`sandbox.v1.${method}`, { id: this.id, ...asked }, options);
  }

  #path(door: "files" | "terminal", values: Record<string, string | number | undefined>): string {
    // What a URL takes for a step upwards is no name of anything.
    const id = encodeURIComponent(this.id).replace(/^\.{1,2}$/, "-");
    const given = Object.entries(values).filter(([, value]) => value !== undefined);
    const query = given
      .map(([name, value]) => `${name}=${encodeURIComponent(value as string | number)}`)
      .join("&");
    const path = door === "files" ? `/sandbox/${id}/files` : `/terminal/${id}`;
    return query === "" ? path : `${path}?${query}`;
  }
}

function execParams(options: Omit<ExecOptions, keyof CallOptions>): Record<string, unknown> {
  const { stdin, ...others } = options;
  const input = typeof stdin === "string" ? { stdin } : stdin && { stdin_base64: toBase64(stdin) };
  return { ...params(others), ...input };
}

function resultOf(told: unknown): ExecResult {
  return withCheck(answer<ExecAnswer>(told));
}

function withCheck(told: ExecAnswer): ExecResult {
  const check = (): ExecResult => {
    if (told.exitCode !== 0 || told.timedOut) throw new CommandFailed(result);
    return result;
  };
  // The wire leaves out what is not so.
  told.outOfMemory ??= false;
  // It is no part of what is printed or compared.
  const result = Object.defineProperty(told, "check", { value: check }) as ExecResult;
  return result;
}
