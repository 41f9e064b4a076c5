/** What sandboxes do. */

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import {
  Capsule,
  CapsuleClient,
  CommandFailed,
  ExecTimeout,
  InvalidParams,
  MethodNotFound,
  NotFound,
  Sandbox,
  WrongState,
} from "../src/index.js";
import { Server } from "./serving.js";

const server = new Server();
let client: CapsuleClient;
let sandbox: Sandbox;

beforeAll(async () => {
  await server.start();
  client = new CapsuleClient(server.url);
});
afterAll(() => server.stop());
beforeEach(async () => {
  sandbox = await client.create({ template: "python" });
});
afterEach(() => client.delete(sandbox.id, { missingOk: true }));

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const event of events) found.push(event);
  return found;
}

test("code runs in the language of the template or another", async () => {
  expect((await sandbox.run("print(6 * 7)")).stdout).toBe("42\n");
  expect((await sandbox.run("echo $((6 * 7))", { language: "shell" })).stdout).toBe("42\n");
});

test("a command is a list of words, and one that fails is a result", async () => {
  const told = await sandbox.exec(["printf", "%s|", "a b", "$HOME", "'"], { cwd: "/tmp" });
  expect([told.stdout, told.exitCode, told.outOfMemory]).toEqual(["a b|$HOME|'|", 0, false]);
  const failed = await sandbox.exec(["sh", "-c", "echo no >&2; exit 3"]);
  expect(() => failed.check()).toThrow(new CommandFailed(failed));
  expect(() => failed.check()).toThrow("exit code 3: no");
  expect(told.check()).toBe(told);
});

test("input and output are bytes if asked for", async () => {
  const everything = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const told = await sandbox.exec(["cat"], { stdin: everything, base64: true });
  expect(atob(told.stdoutBase64 ?? "")).toBe(String.fromCharCode(...everything));
  expect((await sandbox.exec(["cat"], { stdin: "é" })).stdout).toBe("é");
});

test("a timeout is a result with what was written", async () => {
  const told = await sandbox.exec(["sh", "-c", "echo early; sleep 100"], { timeoutMs: 500 });
  expect([told.stdout, told.timedOut, told.exitCode]).toEqual(["early\n", true, 124]);
});

test("several commands stop at the first that fails", async () => {
  const told = await sandbox.batch([
    ["echo", "1"],
    { cmd: ["cat"], stdin: "2", timeoutMs: 1000 },
    ["false"],
    ["true"],
  ]);
  expect(told.results.map(({ stdout }) => stdout)).toEqual(["1\n", "2", ""]);
  expect(told.complete).toBe(false);
  expect((await sandbox.batch([["false"], ["true"]], { stopOnFailure: false })).complete).toBe(
    true,
  );
});

test("variables and contexts are carried over, under their own names", async () => {
  await sandbox.setEnv({ camelCase: "1", TWO: "2" });
  await sandbox.setEnv({}, { unset: ["TWO"] });
  expect((await sandbox.run("echo $camelCase-$TWO", { language: "shell" })).stdout).toBe("1-\n");
  await sandbox.openContext("work", { cwd: "/tmp", env: { THREE: "3" } });
  const inside = { language: "shell", context: "work" } as const;
  await sandbox.run("cd /usr; export FOUR=4", inside);
  expect((await sandbox.run("echo $PWD $THREE $FOUR", inside)).stdout).toBe("/usr 3 4\n");
});

test("output comes as it is written", async () => {
  const script = "printf '\\303'; read x; printf '\\251'; exit 3";
  const output = sandbox.execStream(["sh", "-c", script], { input: true });
  expect((await output.next()).value).toEqual({ kind: "started", process: output.process });
  // Half a character is no text yet.
  expect((await output.next()).value).toMatchObject({
    kind: "stdout",
    data: new Uint8Array([0xc3]),
    text: "",
  });
  await sandbox.process(output.process ?? 0).input("\n");
  const [second, last] = await all(output);
  expect(second).toMatchObject({ text: "é" });
  expect(last).toMatchObject({ kind: "exit", exit: { exitCode: 3 } });
  expect(await all(output)).toEqual([]);
});

test("a command ends with the loop that reads it", async () => {
  const output = sandbox.execStream(["sh", "-c", "echo go; sleep 1000"], { timeoutMs: 100_000 });
  for await (const event of output) if (event.kind === "stdout") break;
  const ended = await sandbox.process(output.process ?? 0).wait();
  expect(ended?.signal).toBe(9);
});

test("a stream that is closed ends whoever waits for it", async () => {
  const output = sandbox.execStream(["sleep", "1000"], { timeoutMs: 100_000 });
  await output.next();
  const waits = output.next();
  output.close();
  expect((await waits).done).toBe(true);
});

test("a call that is given up ends its command", async () => {
  const given = new AbortController();
  const cmd = ["sh", "-c", "touch begun; sleep 1000"];
  const call = sandbox.exec(cmd, { timeoutMs: 100_000, signal: given.signal });
  call.catch(() => {});
  while (!(await sandbox.listDir()).some(({ name }) => name === "begun"));
  given.abort(new Error("enough"));
  await expect(call).rejects.toThrow("enough");
  while ((await sandbox.processes()).some(({ exit }) => exit == null));
  await expect(
    sandbox.run("1", { signal: AbortSignal.abort(new Error("before")) }),
  ).rejects.toThrow("before");
});

test("a process outlives the request", async () => {
  const process = await sandbox.start(["sh", "-c", "cat; echo end"]);
  expect(await process.wait({ timeoutMs: 1 })).toBeNull();
  await process.input("one\n");
  await process.closeInput();
  expect((await process.wait())?.exitCode).toBe(0);
  const text = (await all(process.output())).map((event) => ("text" in event ? event.text : ""));
  expect(text.join("")).toBe("one\nend\n");
  expect((await all(process.output({ offset: 8 }))).map(({ kind }) => kind)).toEqual(["exit"]);
  const other = await sandbox.start(["sh", "-c", "sleep 1000 & sleep 1000"]);
  await other.kill({ signalNumber: 15 });
  expect((await other.wait())?.signal).toBe(15);
  const deaf = await sandbox.start(["sleep", "1000"]);
  await expect(deaf.input(new Uint8Array(5_000_000), { timeoutMs: 200 })).rejects.toThrow(
    ExecTimeout,
  );
});

test("a terminal is used as a WebSocket is", async () => {
  const terminal = sandbox.connectTerminal({ columns: 99, rows: 33 });
  let seen = "";
  let opened = 0;
  terminal.onopen = () => opened++;
  terminal.onmessage = (event) => {
    seen += event.data;
  };
  // It is not open yet.
  expect(terminal.readyState).toBe(0);
  terminal.send("stty size; exit 7\n");
  const { code, exitCode } = await terminal.closed;
  expect([code, exitCode, opened, terminal.readyState]).toEqual([1000, 7, 1, 3]);
  expect(seen).toContain("33 99");
  expect(() => terminal.send("x")).toThrow("closed");
});

test("a terminal is an iterable of text, and takes a size and signals", async () => {
  const script = "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done";
  const process = await sandbox.start(["bash", "-c", script], {
    terminal: { columns: 80, rows: 24 },
  });
  const terminal = process.connectTerminal();
  let seen = "";
  for await (const text of terminal) {
    if (text.includes("ready")) terminal.resize(50, 20);
    seen += text;
  }
  expect(seen).toContain("20 50");
  expect(terminal.exitCode).toBe(4);
  const other = await sandbox.start(["sleep", "1000"], { terminal: { columns: 80, rows: 24 } });
  const second = other.connectTerminal();
  second.signal(15);
  expect((await second.closed).exitCode).toBe(143);
});

test("what a terminal is not let into is told", async () => {
  const terminal = sandbox.process(999_999).connectTerminal();
  let told: unknown;
  terminal.onerror = ({ error }) => {
    told = error;
  };
  await expect(terminal.opened).rejects.toThrow();
  await expect(all(terminal)).rejects.toBe(told);
  expect((await terminal.closed).code).toBe(1006);
});

test("deleting a sandbox closes its terminal", async () => {
  const terminal = sandbox.connectTerminal();
  await terminal.opened;
  await sandbox.delete();
  // The shell ends with it, and either may be heard of first.
  expect([1000, 4001]).toContain((await terminal.closed).code);
});

test("a sandbox is found by its labels, page by page", async () => {
  const labels = { test: "pages", camelCase: "and_snake" };
  const made = await Promise.all(
    [1, 2, 3].map(() => client.create({ template: "shell", labels, idleMs: 60_000 })),
  );
  const first = await client.list({ labels: { test: "pages" }, limit: 2 });
  expect([first.sandboxes.length, first.more]).toEqual([2, true]);
  expect(first.sandboxes[0]).toMatchObject({ labels, idleMs: 60_000, state: "ready" });
  const found = (await all(client.sandboxes({ labels: { test: "pages" } }))).map(({ id }) => id);
  expect(found.sort()).toEqual(made.map(({ id }) => id).sort());
  for (const one of made) await one.delete();
  await expect(client.delete(made[0]?.id ?? "")).rejects.toThrow(NotFound);
});

test("a key makes one sandbox", async () => {
  const first = await client.create({ key: "the one" });
  expect((await client.create({ key: "the one" })).id).toBe(first.id);
  expect(first.created?.createdAt).toBeInstanceOf(Date);
  await first.delete();
});

test("a sandbox is paused, watched and extended", async () => {
  const states = sandbox.watch();
  expect((await states.next()).value).toBe("ready");
  expect((await sandbox.pause()).state).toBe("paused");
  expect((await states.next()).value).toBe("paused");
  await expect(sandbox.run("1")).rejects.toThrow(WrongState);
  await sandbox.resume();
  const before = (await sandbox.info()).expiresAt;
  expect((await sandbox.extend(3_600_000)).expiresAt.getTime()).toBeGreaterThan(before.getTime());
  await sandbox.delete();
  expect((await all(states)).at(-1)).toBe("gone");
});

test("what it uses and did is told, and any method can be called", async () => {
  await sandbox.exec(["echo", "to be found"]);
  expect((await sandbox.stats()).processes).toBeGreaterThan(0);
  const [entry] = await sandbox.logs({ contains: "to be found" });
  expect(entry).toMatchObject({
    cmd: ["echo", "to be found"],
    stdout: "to be found\n",
    id: sandbox.id,
  });
  expect((await client.logs({ id: sandbox.id, failed: true })).length).toBe(0);
  expect((await client.templates()).map(({ name }) => name)).toContain("python");
  expect((await client.health())["status"]).toBe("ok");
  expect(await client.metrics()).toContain("capsule_");
  expect((await client.discover())["openrpc"]).toBeDefined();
  expect(await client.call("sandbox.v1.get", { id: sandbox.id })).toMatchObject({ state: "ready" });
  await expect(client.call("sandbox.v1.nothing")).rejects.toThrow(MethodNotFound);
  await expect(client.call("sandbox.v1.get", { id: sandbox.id, more: 1 })).rejects.toThrow(
    InvalidParams,
  );
});

test("leaving a sandbox deletes it, and one that is gone is no error", async () => {
  const other = await client.create();
  await other[Symbol.asyncDispose]();
  await expect(other.info()).rejects.toThrow(NotFound);
  await other[Symbol.asyncDispose]();
  expect(Capsule).toBe(Sandbox);
});

test("the address of a terminal is that of the server", () => {
  const at = (url: string, id: string) => new CapsuleClient(url).sandbox(id).getTerminalUrl();
  expect(at("https://box.example/base/", "a/../b")).toBe(
    "wss://box.example/base/terminal/a%2F..%2Fb",
  );
  expect(at("http://localhost:8080", "..")).toBe("ws://localhost:8080/terminal/-");
});
