// A server of the built binary, in a folder of its own.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Most methods are of sandboxes; others are called by their whole name. */
const whole = (method) => (method.includes(".") ? method : `sandbox.v1.${method}`);

export class Serve {
  #process;
  #folder;
  #key = null;

  static async start({ key = false } = {}) {
    const serve = new Serve();
    serve.#folder = mkdtempSync(join(tmpdir(), "capsule-page-"));
    const data = join(serve.#folder, "data");
    const binary = process.env.CAPSULE_BIN;
    if (key) {
      const told = execFileSync(binary, ["keys", "create", "--name", "page", "--data", data], {
        encoding: "utf8",
      });
      serve.#key = told
        .trim()
        .split("\n")
        .find((line) => line.startsWith("cap_"));
    }
    const options = [
      "serve",
      "--listen",
      "127.0.0.1:0",
      "--data",
      data,
      ...(key ? ["--require-key"] : []),
    ];
    serve.#process = spawn(binary, options, { stdio: ["ignore", "pipe", "ignore"] });
    serve.url = await new Promise((resolve, reject) => {
      serve.#process.on("exit", (code) => reject(new Error(`the server ended with ${code}`)));
      serve.#process.stdout.once("data", (line) => resolve(String(line).trim()));
    });
    return serve;
  }

  get key() {
    return this.#key;
  }

  async call(method, params = {}) {
    const headers = { "content-type": "application/json" };
    if (this.#key) headers.authorization = `Bearer ${this.#key}`;
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: whole(method), params });
    const response = await fetch(`${this.url}/rpc`, { method: "POST", headers, body });
    const answer = await response.json();
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result;
  }

  /** A new sandbox; its id. */
  async create(params = {}) {
    return (await this.call("create", { template: "shell", ...params })).id;
  }

  async stop() {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    const code = await ended;
    rmSync(this.#folder, { recursive: true, force: true });
    if (code !== 0) throw new Error(`the server stopped with ${code}`);
  }
}
