/**
 * What is sent and answered, as types. Held to `schema/openrpc.json` by a test: a field that
 * the schema has is here, in camelCase.
 */

/** What every call takes. */
export interface CallOptions {
  /** What the call as a whole may take, in milliseconds. */
  deadlineMs?: number;
  /** Gives the call up. */
  signal?: AbortSignal;
}

/** Languages of source text. */
export type Language = "python" | "javascript" | "go" | "shell";

/** Limits of all processes of a sandbox together. */
export interface ResourceLimits {
  memoryBytes?: number;
  diskBytes?: number;
  maxPids?: number;
  cpuShares?: number;
}

/** Which hosts a sandbox may reach: `"host"`, `"host:port"`, `"*.host"`. */
export type Network = "denied" | "open" | { allow: string[] };

/** The size of a terminal. */
export interface Size {
  columns: number;
  rows: number;
}

/** A volume in a sandbox. */
export interface VolumeMount {
  volume: string;
  path: string;
  mode?: "ro" | "rw";
}

/** Where it is told that a process has ended. */
export interface Webhook {
  url: string;
  secret?: string;
}

/** What a clone can be given. */
export interface CloneOptions extends CallOptions {
  /** Milliseconds from now after which it expires. Default: 10 minutes. */
  ttlMs?: number;
  /** Milliseconds without use after which it expires. */
  idleMs?: number;
  /** Variables of all its processes. */
  env?: Record<string, string>;
  /** What it is found by. */
  labels?: Record<string, string>;
  /** Whatever is to be kept with it. */
  metadata?: Record<string, string>;
  /** Makes the call safe to repeat: the same key answers with the same sandbox. */
  key?: string;
  limits?: ResourceLimits;
  network?: Network;
  volumes?: VolumeMount[];
  /** What happens when its time is over. `"pause"` keeps its files as a snapshot of its id. */
  onExpiry?: "delete" | "pause";
}

/** What a sandbox can be given. */
export interface CreateOptions extends CloneOptions {
  /** Default: `"python"`. */
  template?: string;
  /** The snapshot whose files it begins with. */
  snapshot?: string;
}

/** What commands and source text take. */
export interface RunOptions extends CallOptions {
  /** Milliseconds after which the server kills it and all that it started. Default: 5000. */
  timeoutMs?: number;
  cwd?: string;
  env?: Record<string, string>;
  /** The shell context that it runs in. */
  context?: string;
  maxStdoutBytes?: number;
  maxStderrBytes?: number;
  /** Whether the output is told as bytes, too. */
  base64?: boolean;
}

/** What source text takes. */
export interface RunCodeOptions extends RunOptions {
  /** Default: the template's. */
  language?: Language;
}

/** What a command takes. */
export interface ExecOptions extends RunOptions {
  stdin?: string | Uint8Array;
}

/** One of several commands. */
export interface BatchCommand extends Omit<ExecOptions, keyof CallOptions> {
  cmd: string[];
}

/** What a command takes whose output is told as it comes. */
export interface ExecStreamOptions extends CallOptions {
  timeoutMs?: number;
  cwd?: string;
  env?: Record<string, string>;
  context?: string;
  terminal?: Size;
  /** Whether its input stays open. */
  input?: boolean;
}

/** What a process takes that outlives the request. */
export interface StartOptions extends Omit<ExecStreamOptions, "input"> {
  webhook?: Webhook;
}

/** A sandbox that was made. */
export interface Created {
  id: string;
  template: string;
  createdAt: Date;
  expiresAt: Date;
  /** Walls that stand less than fully. */
  weaker: unknown[];
}

/** Everything about a sandbox. */
export interface SandboxAnswer extends Created {
  /** `creating`, `ready`, `paused`, `expiring` or `ending`. */
  state: string;
  idleMs?: number | null;
  labels: Record<string, string>;
  metadata: Record<string, string>;
  /** Processes that run. */
  processes: number;
  network?: Network;
  /** What happens when its time is over; with `"pause"` its files are kept. */
  onExpiry?: string;
  volumes?: VolumeMount[];
}

/** A page of sandboxes, ordered by id. */
export interface ListAnswer {
  sandboxes: SandboxAnswer[];
  more: boolean;
}

/** How a process ended. */
export interface Exit {
  /** 128 and the signal if one ended it; 124 after the timeout. */
  exitCode: number;
  timedOut: boolean;
  outOfMemory: boolean;
  signal?: number | null;
  durationMs: number;
}

/** How a command ended, and what it wrote. */
export interface ExecAnswer extends Exit {
  /** As text; what is not UTF-8 is shown as U+FFFD. */
  stdout: string;
  stderr: string;
  stdoutTruncated: boolean;
  stderrTruncated: boolean;
  stdoutBase64?: string | null;
  stderrBase64?: string | null;
}

/** The same, as this package hands it out. */
export interface ExecResult extends ExecAnswer {
  /** Itself, if the exit code is 0; else it throws `CommandFailed`. */
  check(): ExecResult;
}

/** How several commands ended. */
export interface BatchAnswer {
  results: ExecResult[];
  /** Whether all ran. */
  complete: boolean;
  /** Why the last one could not even start. */
  error?: unknown;
}

/** A process. */
export interface ProcessAnswer {
  process: number;
  cmd: string[];
  startedAt: Date;
  terminal: boolean;
  exit?: Exit | null;
}

/** An entry of a directory. */
export interface Listed {
  name: string;
  path: string;
  isDir: boolean;
  size: number;
}

/** What a path is. */
export interface FileEntry extends Listed {
  /** `file`, `directory`, `link` or `other`. */
  kind: string;
  mode: number;
  modifiedAt: Date;
  /** Where a link points. */
  target?: string | null;
}

/** How an execution was asked for. */
export type ExecutionKind = "exec" | "code" | "batch" | "install" | "stream" | "start" | "terminal";

/** An execution of the past. */
export interface LogEntry {
  number: number;
  id: string;
  request: string;
  kind: ExecutionKind;
  /** Its number in the sandbox. */
  process: number;
  startedAt: Date;
  cmd: string[];
  cwd: string;
  /** Null if it was lost. */
  exitCode: number | null;
  signal?: number | null;
  timedOut: boolean;
  outOfMemory: boolean;
  /** Whether the server was killed while it ran. */
  lost: boolean;
  durationMs: number;
  /** The beginning of it. */
  stdout: string;
  stderr: string;
  stdoutTruncated: boolean;
  stderrTruncated: boolean;
}

/** Which executions. */
export interface LogsOptions extends CallOptions {
  contains?: string;
  failed?: boolean;
  kind?: ExecutionKind;
  limit?: number;
  before?: number;
}

/** What a sandbox uses; missing where the host does not count it. */
export interface StatsAnswer {
  cpuTimeMs?: number | null;
  memoryBytes?: number | null;
  maxMemoryBytes?: number | null;
  processes?: number | null;
  diskBytes?: number | null;
  ioBytesRead?: number | null;
  ioBytesWritten?: number | null;
}

/** A template. */
export interface TemplateAnswer {
  name: string;
  limits: ResourceLimits;
  language?: string | null;
  description?: string | null;
  backend?: string | null;
  root?: string | null;
  network?: unknown;
  pool?: { size: number; ready: number } | null;
  onExpiry?: string | null;
}

/** The files of a sandbox, as they were. */
export interface Snapshot {
  id: string;
  name?: string | null;
  sandbox: string;
  template: string;
  createdAt: Date;
  bytes: number;
  files: number;
  labels: Record<string, string>;
}

/** Files that outlive sandboxes. */
export interface Volume {
  name: string;
  sizeBytes: number;
  usedBytes: number;
  createdAt: Date;
}

/** Something that a process did. `next` is the offset at which a later reader goes on. */
export type OutputEvent =
  | { kind: "started"; process: number }
  /** A character whose bytes are not complete yet comes with the next event's `text`. */
  | { kind: "stdout" | "stderr"; data: Uint8Array; text: string; next: number }
  /** So many bytes are not kept any more. */
  | { kind: "gap"; bytes: number; next: number }
  | { kind: "exit"; exit: Exit };

/** Something that happened to a file. `gap`: some events were lost. */
export type FileEvent =
  | {
      kind: "created" | "modified" | "removed" | "moved";
      path: string;
      to?: string;
      isDir: boolean;
    }
  | { kind: "gap" };
