/** No call can hang, whatever answers; and what is made twice is only what may be. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { CapsuleClient, ConnectionFailed, DeadlineExceeded, ProtocolError } from "../src/index.js";
import { Impostor } from "./serving.js";

const open: Impostor[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop();
});

async function impostor(act: (socket: Socket, request: string) => void): Promise<Impostor> {
  const made = await new Impostor(act).start();
  open.push(made);
  return made;
}

const sends =
  (...pieces: string[]) =>
  (socket: Socket): void => {
    for (const piece of pieces) socket.write(piece);
  };
const closesAfter =
  (...pieces: string[]) =>
  (socket: Socket): void => {
    socket.end(pieces.join(""));
  };
const answer = (body: string, kind = "application/json", status = "200 OK"): string =>
  `HTTP/1.1 ${status}\r\ncontent-type: ${kind}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
const STREAM =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const chunk = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n`;
const STARTED = chunk('event: started\ndata: {"started":{"process":1}}\n\n');
const asks = (url: string, options: object = {}, method = "sandbox.v1.get") =>
  new CapsuleClient({ baseUrl: url, ...options }).call<never>(method, { id: "x" });

for (const [what, act] of Object.entries({
  nothing: sends(),
  "half a head": sends("HTTP/1.1 200 OK\r\nconte"),
  "half a body": sends(
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
  ),
  "half a chunk": sends("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"),
})) {
  test(`a server that says ${what} and falls silent is given up`, async () => {
    const server = await impostor(act);
    await expect(asks(server.url, { deadlineMs: 300 })).rejects.toThrow(DeadlineExceeded);
    expect(server.requests).toBeLessThan(2);
  });
}

test("a server that drips is given up", async () => {
  const server = await impostor((socket) => {
    socket.write(
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    const drip = setInterval(() => socket.write(chunk(" ")), 20);
    socket.on("close", () => clearInterval(drip));
  });
  await expect(asks(server.url, { deadlineMs: 300 })).rejects.toThrow(DeadlineExceeded);
});

test("a fetch that never settles is given up", async () => {
  const never = () => new Promise<Response>(() => {});
  await expect(asks("http://127.0.0.1:1", { deadlineMs: 100, fetch: never })).rejects.toThrow(
    DeadlineExceeded,
  );
});

for (const [what, data] of Object.entries({
  "no JSON": answer("not json"),
  "a list": answer("[]"),
  "no result": answer("{}"),
  "an error that is none": answer('{"error": 5}'),
  "a page": answer("<html>", "text/html", "502 Bad Gateway"),
})) {
  test(`a server that answers with ${what} is an error`, async () => {
    await expect(asks((await impostor(sends(data))).url)).rejects.toThrow(ProtocolError);
  });
}

test("nobody is sent elsewhere", async () => {
  const target = await impostor(sends(answer('{"jsonrpc":"2.0","id":1,"result":1}')));
  const moved = `HTTP/1.1 307 Moved\r\nlocation: ${target.url}/rpc\r\ncontent-length: 0\r\n\r\n`;
  const server = await impostor(sends(moved));
  await expect(asks(server.url, { apiKey: "cap_x" })).rejects.toThrow(ConnectionFailed);
  expect(target.requests).toBe(0);
});

test("only what may be made twice is", async () => {
  for (const [method, attempts] of [
    ["get", 3],
    ["exec", 1],
    ["create", 1],
  ] as const) {
    const server = await impostor((socket) => socket.destroy());
    const failure = await asks(server.url, {}, `sandbox.v1.${method}`).catch((error) => error);
    expect(failure).toBeInstanceOf(ConnectionFailed);
    expect(failure.nothingSent).toBe(false);
    expect([method, server.requests]).toEqual([method, attempts]);
  }
  const server = await impostor((socket) => socket.destroy());
  await expect(new CapsuleClient(server.url).create({ key: "k" })).rejects.toThrow(
    ConnectionFailed,
  );
  expect(server.requests).toBe(3);
});

test("what could not be sent is sent again", async () => {
  const free = createServer();
  const port = await new Promise<number>((done) => {
    free.listen(0, "127.0.0.1", () => done((free.address() as { port: number }).port));
  });
  await new Promise((done) => free.close(done));
  const url = `http://127.0.0.1:${port}`;
  const failure = await asks(url, { retries: 1 }, "sandbox.v1.exec").catch((error) => error);
  expect([failure.name, failure.nothingSent, failure.retryable]).toEqual([
    "ConnectionFailed",
    true,
    true,
  ]);
  expect(failure.requestId).not.toBe("");
  const late = new Impostor(sends(answer('{"jsonrpc":"2.0","id":1,"result":{"stdout":"late"}}')));
  open.push(late);
  setTimeout(() => late.start(port), 200);
  expect(await asks(url, { retries: 5 }, "sandbox.v1.exec")).toEqual({ stdout: "late" });
});

for (const [what, act, error] of [
  ["falls silent", sends(STREAM + STARTED), DeadlineExceeded],
  ["breaks off", closesAfter(STREAM + STARTED), ConnectionFailed],
  ["ends early", closesAfter(`${STREAM}${STARTED}0\r\n\r\n`), ConnectionFailed],
  [
    "holds no output",
    sends(STREAM + STARTED + chunk("event: stdout\ndata: {}\n\n")),
    ProtocolError,
  ],
  [
    "holds no JSON",
    sends(STREAM + STARTED + chunk("event: stdout\ndata: nothing\n\n")),
    ProtocolError,
  ],
] as const) {
  test(`a stream that ${what} is an error`, async () => {
    const server = await impostor(act);
    const output = new CapsuleClient({ baseUrl: server.url, silenceMs: 300 })
      .sandbox("x")
      .execStream(["x"]);
    expect((await output.next()).value).toEqual({ kind: "started", process: 1 });
    await expect(output.next()).rejects.toThrow(error);
    // A command is not run twice.
    expect(server.requests).toBe(1);
  });
}

test("a stream of a process that goes on is taken up", async () => {
  const server = await impostor((socket, request) => {
    const { offset } = JSON.parse(request).params;
    const first = 'event: stdout\ndata: {"stdout":{"data":"YQo=","next":2}}\n\n';
    const last = `event: exit\ndata: {"exit":{"exit_code":${offset}}}\n\n`;
    socket.end(STREAM + chunk(offset === 0 ? first : last));
  });
  const seen: unknown[] = [];
  for await (const event of new CapsuleClient(server.url).sandbox("x").process(1).output())
    seen.push(event);
  expect(seen).toMatchObject([{ text: "a\n" }, { kind: "exit", exit: { exitCode: 2 } }]);
});

test("a terminal that does not open is given up", async () => {
  const silent = await impostor(sends());
  const terminal = new CapsuleClient({ baseUrl: silent.url, deadlineMs: 300 })
    .sandbox("x")
    .connectTerminal();
  await expect(terminal.opened).rejects.toThrow(DeadlineExceeded);
  await expect(terminal[Symbol.asyncIterator]().next()).rejects.toThrow(DeadlineExceeded);
  const false_ = await impostor(
    sends(
      "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n",
    ),
  );
  await expect(
    new CapsuleClient(false_.url).sandbox("x").connectTerminal().opened,
  ).rejects.toThrow();
});

test("an upload that nobody takes is given up", async () => {
  const server = createServer((socket) => socket.pause());
  const port = await new Promise<number>((done) => {
    server.listen(0, "127.0.0.1", () => done((server.address() as { port: number }).port));
  });
  async function* endless() {
    while (true) yield new Uint8Array(1 << 20);
  }
  const client = new CapsuleClient({ baseUrl: `http://127.0.0.1:${port}`, silenceMs: 300 });
  await expect(client.sandbox("x").upload(endless(), "f")).rejects.toThrow(DeadlineExceeded);
  server.close();
});

test("a download that breaks off is no file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "capsule-sdk-"));
  const head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
  for (const [act, error] of [
    [closesAfter(head), ConnectionFailed],
    [sends(head), DeadlineExceeded],
  ] as const) {
    const client = new CapsuleClient({ baseUrl: (await impostor(act)).url, silenceMs: 300 });
    await expect(client.sandbox("x").downloadFile("f", join(folder, "f"))).rejects.toThrow(error);
  }
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
});

test("deadlines and addresses are checked", async () => {
  for (const deadlineMs of [0, -1, Number.NaN]) {
    await expect(asks("http://127.0.0.1:1", { deadlineMs })).rejects.toThrow(RangeError);
  }
  for (const url of [
    "ftp://x",
    "localhost:8080",
    "http://",
    "http://key@host",
    "http://h/?a",
    "unix:",
  ]) {
    expect(() => new CapsuleClient(url), url).toThrow(TypeError);
  }
});
