/** Servers for the tests: a real one, and some that are none. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The binary under test; tests/sandbox-sdk/run.sh names it. */
const binary = process.env["CAPSULE_BIN"] ?? "";

interface Described {
  name: string;
  params: { name: string }[];
}

interface Schema {
  methods: Described[];
  components: {
    schemas: Record<string, { properties?: Record<string, unknown>; required?: string[] }>;
    errors: Record<string, { code: number }>;
  };
}

/** What the server that is built says of itself; CI holds it to the binary. */
export const schema: Schema = JSON.parse(readFileSync(process.env["CAPSULE_SCHEMA"] ?? "", "utf8"));
export const methods = new Map(schema.methods.map((method) => [method.name, method]));

/** One `capsule serve`, with a folder of its own. */
export class Server {
  url = "";
  readonly folder = mkdtempSync(join(tmpdir(), "capsule-sdk-"));
  #process: ChildProcess | undefined;

  async start(options: { listen?: string[]; needsKey?: boolean } = {}): Promise<this> {
    const extra = options.needsKey ? ["--require-key"] : [];
    // It does not start without one.
    if (options.needsKey) this.key("first");
    const all = [
      "serve",
      "--data",
      this.#data,
      ...(options.listen ?? ["--listen", "127.0.0.1:0"]),
      ...extra,
    ];
    this.#process = spawn(binary, all, { stdio: ["ignore", "pipe", "ignore"] });
    const lines = createInterface({ input: this.#process.stdout as NodeJS.ReadableStream });
    [this.url] = (await once(lines, "line")) as [string];
    return this;
  }

  key(name: string): string {
    const made = execFileSync(binary, ["keys", "create", "--name", name, "--data", this.#data]);
    return /cap_\S+/.exec(made.toString())?.[0] ?? "";
  }

  async stop(): Promise<void> {
    const ended = once(this.#process as ChildProcess, "exit");
    this.#process?.kill("SIGTERM");
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #data(): string {
    return join(this.folder, "data");
  }
}

/** A socket that accepts connections, and does with each what it was told to. */
export class Impostor {
  url = "";
  requests = 0;
  readonly #open = new Set<Socket>();
  readonly #server: NetServer;

  constructor(act: (socket: Socket, request: string) => void) {
    this.#server = createServer((socket) => {
      this.#open.add(socket);
      socket.on("error", () => {});
      let text = "";
      socket.on("data", (piece) => {
        text += piece.toString("latin1");
        const [head, body] = text.split("\r\n\r\n", 2);
        const length = Number(/content-length: (\d+)/i.exec(head ?? "")?.[1] ?? 0);
        if (body === undefined || body.length < length) return;
        text = "";
        this.requests++;
        act(socket, body);
      });
    });
  }

  async start(port = 0): Promise<this> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, "close");
  }
}
