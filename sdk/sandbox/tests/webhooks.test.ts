/** Webhooks as a caller has them, and what a server says of its host. */

import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CapsuleClient, InvalidParams, NotAuthorized } from "../src/index.js";
import { Server } from "./serving.js";

interface Told {
  headers: IncomingHttpHeaders;
  body: string;
}

const server = new Server();
const heard: Told[] = [];
const listener = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (piece: string) => {
    body += piece;
  });
  request.on("end", () => {
    heard.push({ headers: request.headers, body });
    response.writeHead(204).end();
    listener.emit("told");
  });
});
let client: CapsuleClient;
let port = 0;

beforeAll(async () => {
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  port = (listener.address() as AddressInfo).port;
  await server.start({
    listen: ["--listen", "127.0.0.1:0", "--allow-webhook", `127.0.0.1:${port}`],
  });
  client = new CapsuleClient(server.url);
});
afterAll(async () => {
  await server.stop();
  listener.closeAllConnections();
  listener.close();
});

test("the end of a process is told with a signature", async () => {
  const sandbox = await client.create({ template: "shell" });
  const url = `http://127.0.0.1:${port}/told?by=capsule`;
  const webhook = { url, secret: "sé cret" };
  const first = once(listener, "told");
  const process = await sandbox.start(["sh", "-c", "exit 7"], { webhook });
  await first;
  const [{ headers, body }] = heard as [Told];
  expect(JSON.parse(body)).toMatchObject({
    event: "process.exited",
    sandbox: sandbox.id,
    process: process.number,
    exit: { exit_code: 7 },
  });
  const signature = String(headers["x-capsule-signature"]);
  const [, stamp, given] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(signature) ?? [];
  const expected = createHmac("sha256", webhook.secret).update(`${stamp}.${body}`).digest("hex");
  expect(given).toBe(expected);
  // Without a secret nothing pretends to be signed.
  const second = once(listener, "told");
  await sandbox.start(["true"], { webhook: { url } });
  await second;
  expect(heard).toHaveLength(2);
  expect(heard[1]?.headers).not.toHaveProperty("x-capsule-signature");
  await sandbox.delete();
});

test("a webhook goes nowhere else inside", async () => {
  const sandbox = await client.create({ template: "shell" });
  const before = heard.length;
  for (const url of [
    // The operator named one port.
    `http://127.0.0.1:${port + 1}/`,
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
  ]) {
    const refused = await sandbox
      .start(["sh", "-c", "echo ran >>ran"], { webhook: { url } })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(InvalidParams);
    expect(refused).toMatchObject({ code: "E5006" });
  }
  const file = { webhook: { url: "file:///etc/passwd" } };
  await expect(sandbox.start(["sh", "-c", "echo ran >>ran"], file)).rejects.toThrow(InvalidParams);
  // What is refused has not run.
  expect((await sandbox.exec(["cat", "ran"])).exitCode).not.toBe(0);
  expect(heard).toHaveLength(before);
  await sandbox.delete();
});

test("the host is examined", async () => {
  const report = await client.doctor({ deadlineMs: 120_000 });
  const backends = report["backends"] as { backend: string; usable: boolean; walls: unknown[] }[];
  const jail = backends.find(({ backend }) => backend === "jail");
  expect(jail?.usable).toBe(true);
  expect(jail?.walls).toContainEqual(expect.objectContaining({ wall: "seccomp" }));
}, 120_000);

test("a stranger learns nothing of the host", async () => {
  const guarded = await new Server().start({ needsKey: true });
  try {
    const baseUrl = guarded.url;
    for (const key of [{}, { apiKey: "cap_wrong" }]) {
      const stranger = new CapsuleClient({ baseUrl, ...key });
      await expect(stranger.doctor()).rejects.toThrow(NotAuthorized);
    }
    const owner = new CapsuleClient({ baseUrl, apiKey: guarded.key("mine") });
    expect(await owner.doctor({ deadlineMs: 120_000 })).toHaveProperty("backends");
  } finally {
    await guarded.stop();
  }
}, 120_000);
