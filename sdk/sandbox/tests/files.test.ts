/** Files, of any size, under any name; keys; a Unix socket. */

import { randomBytes } from "node:crypto";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  CapsuleClient,
  FileFailed,
  ListDirFailed,
  NotAuthorized,
  NotFound,
  ReadFileFailed,
  type Sandbox,
  WriteFileFailed,
} from "../src/index.js";
import { Server } from "./serving.js";

const server = new Server();
const local = mkdtempSync(join(tmpdir(), "capsule-sdk-files-"));
let client: CapsuleClient;
let sandbox: Sandbox;

beforeAll(async () => {
  await server.start();
  client = new CapsuleClient({ baseUrl: server.url });
  const limits = { memoryBytes: 2 ** 30, diskBytes: 2 ** 30 };
  sandbox = await client.create({ template: "shell", limits });
});
afterAll(async () => {
  await server.stop();
  rmSync(local, { recursive: true });
});

const bytes = (size: number): Uint8Array<ArrayBuffer> => new Uint8Array(randomBytes(size));

for (const name of [
  "with space",
  "quote'\"",
  "$(touch x);&|",
  "ünï-\u2603",
  "a%20b+c?d#e",
  "-rf",
  "new\nline",
]) {
  test(`${JSON.stringify(name)} is a name`, async () => {
    await sandbox.writeFile(`/workspace/in/${name}`, name);
    expect(await sandbox.readFileText(`/workspace/in/${name}`)).toBe(name);
    expect((await sandbox.stat(`in/${name}`)).size).toBe(new TextEncoder().encode(name).length);
    await sandbox.remove("in", { recursive: true });
  });
}

for (const size of [0, 1, 100_001, 20_000_003]) {
  test(`a file of ${size} bytes comes back as it went`, async () => {
    const content = bytes(size);
    await sandbox.writeFile(`f${size}`, content, { mode: 0o640 });
    expect(Buffer.compare(await sandbox.readFile(`f${size}`), content)).toBe(0);
    expect(await sandbox.stat(`f${size}`)).toMatchObject({
      size,
      mode: 0o640,
      kind: "file",
      isDir: false,
    });
  });
}

test("anything can be uploaded", async () => {
  async function* pieces() {
    yield new TextEncoder().encode("in ");
    yield new TextEncoder().encode("pieces");
  }
  const stream = new Response("stream").body as ReadableStream<Uint8Array>;
  const sources = {
    text: "é",
    blob: new Blob(["blob"]),
    buffer: new Uint8Array([65]).buffer,
    stream,
    pieces: pieces(),
  };
  for (const [name, source] of Object.entries(sources)) await sandbox.upload(source, `up/${name}`);
  const read = Object.keys(sources).map((name) => sandbox.readFileText(`up/${name}`));
  expect(await Promise.all(read)).toEqual(["é", "blob", "A", "stream", "in pieces"]);
});

test("a download is whole or not there", async () => {
  const content = bytes(3_000_000);
  await sandbox.writeFile("big", content);
  expect(await sandbox.downloadFile("big", join(local, "copy"))).toBe(content.length);
  expect(Buffer.compare(readFileSync(join(local, "copy")), content)).toBe(0);
  await expect(sandbox.downloadFile("nothing", join(local, "nothing"))).rejects.toThrow(
    ReadFileFailed,
  );
  const download = await sandbox.openFile("big");
  expect(download.size).toBe(content.length);
  for await (const piece of download) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  expect(readdirSync(local)).toEqual(["copy"]);
});

test("nothing of a large file is kept in memory", async () => {
  const size = 300 << 20;
  writeFileSync(join(local, "large"), "");
  truncateSync(join(local, "large"), size);
  let most = 0;
  const watch = setInterval(() => {
    const { arrayBuffers, external } = process.memoryUsage();
    most = Math.max(most, arrayBuffers + external);
  }, 5);
  await sandbox.uploadFile(join(local, "large"), "large");
  expect((await sandbox.stat("large")).size).toBe(size);
  expect(await sandbox.downloadFile("large", join(local, "large"))).toBe(size);
  clearInterval(watch);
  expect(most).toBeLessThan(150 << 20);
});

test("entries are moved and removed, and what cannot be done has a code", async () => {
  await sandbox.mkdir("a/b");
  await sandbox.writeFile("a/b/c", "x");
  await sandbox.move("a/b/c", "a/d");
  expect((await sandbox.listDir("a")).map(({ name, isDir }) => [name, isDir])).toEqual([
    ["b", true],
    ["d", false],
  ]);
  await expect(sandbox.remove("a")).rejects.toThrow(FileFailed);
  await sandbox.remove("a", { recursive: true });
  const missing = await sandbox.listDir("a").catch((error) => error);
  expect(missing).toBeInstanceOf(ListDirFailed);
  expect([missing.code, missing.rpcCode, missing.type]).toEqual([
    "E3010",
    -32010,
    "LIST_DIR_FAILED",
  ]);
  expect(missing.requestId).not.toBe("");
  await expect(sandbox.writeFile("/etc/passwd", "x")).rejects.toThrow(WriteFileFailed);
  await expect(sandbox.readFile("../../etc/shadow")).rejects.toThrow(ReadFileFailed);
});

test("a key opens what is its own, and nothing is done without one", async () => {
  const guarded = await new Server().start({ needsKey: true });
  try {
    const [apiKey, otherKey] = [guarded.key("one"), guarded.key("other")];
    const baseUrl = guarded.url;
    const owner = new CapsuleClient({ baseUrl, apiKey });
    const mine = await owner.create({ template: "shell" });
    await mine.writeFile("f", "mine");
    const terminal = mine.connectTerminal();
    terminal.send("exit 3\n");
    expect((await terminal.closed).exitCode).toBe(3);
    const stranger = new CapsuleClient({ baseUrl, apiKey: otherKey });
    await expect(stranger.sandbox(mine.id).readFile("f")).rejects.toThrow(NotFound);
    const nobody = new CapsuleClient({ baseUrl });
    expect((await nobody.health())["status"]).toBe("ok");
    const refused = await nobody.create().catch((error) => error);
    expect(refused).toBeInstanceOf(NotAuthorized);
    expect([refused.code, refused.rpcCode, refused.type]).toEqual([
      "E5004",
      -32014,
      "NOT_AUTHORIZED",
    ]);
    await expect(nobody.sandbox(mine.id).connectTerminal().opened).rejects.toThrow();
  } finally {
    await guarded.stop();
  }
});

test("over a Unix socket", async () => {
  const path = join(local, "socket");
  const hidden = await new Server().start({ listen: ["--unix", path] });
  try {
    const inside = new CapsuleClient(`unix:${path}`);
    const made = await inside.create({ template: "shell" });
    expect((await made.run("echo hi")).stdout).toBe("hi\n");
    await made.writeFile("f", bytes(1_000_000));
    expect((await made.readFile("f")).length).toBe(1_000_000);
    writeFileSync(join(local, "more"), "streamed");
    await made.uploadFile(join(local, "more"), "g");
    expect(await made.readFileText("g")).toBe("streamed");
    const terminal = made.connectTerminal();
    terminal.send("exit 4\n");
    expect((await terminal.closed).exitCode).toBe(4);
    const kinds: string[] = [];
    for await (const { kind } of made.execStream(["true"])) kinds.push(kind);
    expect(kinds).toEqual(["started", "exit"]);
  } finally {
    await hidden.stop();
  }
});
