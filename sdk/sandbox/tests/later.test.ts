/**
 * Methods that a server of this revision may not have yet. Those that it has are tested; for
 * the others there is no test, so nothing is skipped.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CapsuleClient, type FileEvent, InvalidParams, type Sandbox } from "../src/index.js";
import { methods, Server } from "./serving.js";

const server = new Server();
const local = mkdtempSync(join(tmpdir(), "capsule-sdk-later-"));
let client: CapsuleClient;
let sandbox: Sandbox;

beforeAll(async () => {
  await server.start();
  client = new CapsuleClient(server.url);
  sandbox = await client.create({ template: "shell" });
});
afterAll(async () => {
  await server.stop();
  rmSync(local, { recursive: true });
});

function testOf(method: string, name: string, body: () => Promise<void>): void {
  if (methods.has(method)) test(name, body);
}

test("what every server has is there", () => {
  expect(methods.has("sandbox.v1.create")).toBe(true);
});

testOf("sandbox.v1.setNetwork", "the network is changed while it lives", async () => {
  expect((await sandbox.info()).network).toBe("denied");
  const policy = { allow: ["example.org", "*.example.com:443"] };
  expect((await sandbox.setNetwork(policy)).network).toEqual(policy);
  expect((await sandbox.setNetwork("denied")).network).toBe("denied");
  const asked = { id: sandbox.id, network: "everything" };
  await expect(client.call("sandbox.v1.setNetwork", asked)).rejects.toThrow(InvalidParams);
});

testOf("sandbox.v1.watchDir", "changes of files are told", async () => {
  await sandbox.mkdir("watched");
  const changes = sandbox.watchDir("watched");
  await changes.started();
  await sandbox.writeFile("watched/new", "x");
  const seen: FileEvent[] = [];
  for await (const change of changes) {
    if (seen.length === 0) await sandbox.remove("watched/new");
    seen.push(change);
    if (change.kind === "removed") break;
  }
  expect(seen[0]).toHaveProperty("path");
  expect(seen.length).toBeGreaterThan(1);
});

testOf("sandbox.v1.install", "an installation that fails is a result", async () => {
  // There is no index that it may reach.
  const told = await sandbox.install(["no-such-package-of-anybody"], { timeoutMs: 60_000 });
  expect(told.exitCode).not.toBe(0);
});

testOf("sandbox.v1.setNetwork", "archives come and go, and parts of files", async () => {
  writeFileSync(join(local, "file"), "hello");
  const packed = execFileSync("tar", ["-C", local, "-cf", "-", "file"]);
  await sandbox.uploadArchive(new Uint8Array(packed), "/workspace/unpacked");
  expect(await sandbox.readFileText("unpacked/file")).toBe("hello");
  expect(
    await sandbox.downloadArchive(join(local, "all.tar"), "/workspace/unpacked"),
  ).toBeGreaterThan(0);
  expect(execFileSync("tar", ["-tf", join(local, "all.tar")]).toString()).toContain("file");
  let part = "";
  for await (const piece of await sandbox.openFile("unpacked/file", { start: 1, end: 4 })) {
    part += new TextDecoder().decode(piece);
  }
  expect(part).toBe("ell");
});

testOf("sandbox.v1.snapshot", "files are kept and brought back", async () => {
  await sandbox.writeFile("kept", "before");
  const labels = { of: "sdk" };
  const snapshot = await sandbox.snapshot({ name: "sdk", labels });
  expect(snapshot).toMatchObject({ sandbox: sandbox.id, labels });
  expect((await client.snapshots({ labels })).snapshots.map(({ id }) => id)).toEqual([snapshot.id]);
  await sandbox.writeFile("kept", "after");
  await sandbox.restore(snapshot);
  expect(await sandbox.readFileText("kept")).toBe("before");
  const other = await client.create({ snapshot: snapshot.id });
  expect(await other.readFileText("kept")).toBe("before");
  await other.delete();
  await client.deleteSnapshot(snapshot);
  expect((await client.snapshots({ labels })).snapshots).toEqual([]);
});

testOf("sandbox.v1.clone", "a clone has the files", async () => {
  await sandbox.writeFile("kept", "mine");
  const other = await sandbox.clone({ labels: { of: "clone" } });
  expect(other.id).not.toBe(sandbox.id);
  expect(await other.readFileText("kept")).toBe("mine");
  await other.delete();
});

testOf("volume.v1.create", "a volume outlives sandboxes", async () => {
  const volume = await client.createVolume("sdk", 16 << 20);
  expect(volume.sizeBytes).toBe(16 << 20);
  expect((await client.volumes()).map(({ name }) => name)).toContain("sdk");
  const first = await client.create({ volumes: [{ volume: "sdk", path: "/data", mode: "rw" }] });
  (await first.exec(["sh", "-c", "echo kept >/data/file"])).check();
  await expect(client.deleteVolume("sdk")).rejects.toMatchObject({ code: "E3017" });
  await first.delete();
  const second = await client.create({ volumes: [{ volume: "sdk", path: "/data", mode: "ro" }] });
  expect((await second.exec(["cat", "/data/file"])).stdout).toBe("kept\n");
  expect((await second.exec(["sh", "-c", "echo no >/data/file"])).exitCode).not.toBe(0);
  await second.delete();
  await client.deleteVolume("sdk");
});

testOf("sandbox.v1.create", "a sandbox whose time is over is paused", async () => {
  const paused = await client.create({ template: "shell", onExpiry: "pause" });
  await paused.writeFile("kept", "mine");
  expect((await paused.extend(1)).onExpiry).toBe("pause");
  for await (const told of paused.watch()) if (told === "paused") break;
  await paused.extend(60_000);
  expect((await paused.resume()).state).toBe("ready");
  expect(await paused.readFileText("kept")).toBe("mine");
  await paused.delete();
});
