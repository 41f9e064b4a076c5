// What the package does, in whatever runtime this is. Says "as expected", or why not.

import { deepStrictEqual as same } from "node:assert/strict";
import { createServer } from "node:net";

import { CapsuleClient, ConnectionFailed, DeadlineExceeded, NotFound, ReadFileFailed } from "capsule-sdk";

const [baseUrl, unix, folder] = process.argv.slice(2);
const failure = (promise) => promise.then(() => "nothing", (error) => error);

async function all(client) {
  const sandbox = await client.create({ template: "python", labels: { camelCase: "x" } });
  same((await sandbox.run("print(6 * 7)")).stdout, "42\n");
  same((await sandbox.info()).labels, { camelCase: "x" });

  const content = crypto.getRandomValues(new Uint8Array(60_000));
  await sandbox.writeFile("in/bytes", content);
  same(await sandbox.readFile("in/bytes"), content);
  await sandbox.uploadFile(`${folder}/large`, "large");
  same((await sandbox.stat("large")).size, 50_000_000);
  same(await sandbox.downloadFile("large", `${folder}/copy`), 50_000_000);
  async function* pieces() {
    for (let n = 0; n < 10; n++) yield new Uint8Array(100_000);
  }
  await sandbox.upload(pieces(), "pieces");
  same((await sandbox.stat("pieces")).size, 1_000_000);
  const missing = await failure(sandbox.readFile("nothing"));
  same([missing instanceof ReadFileFailed, missing.code], [true, "E3010"]);

  const kinds = [];
  for await (const event of sandbox.execStream(["sh", "-c", "echo a; exit 3"])) kinds.push(event.kind);
  same(kinds, ["started", "stdout", "exit"]);

  const terminal = sandbox.connectTerminal({ columns: 99, rows: 33 });
  terminal.send("stty size; exit 7\n");
  let seen = "";
  for await (const text of terminal) seen += text;
  same([seen.includes("33 99"), terminal.exitCode], [true, 7]);

  const given = new AbortController();
  const long = failure(sandbox.exec(["sleep", "1000"], { timeoutMs: 100_000, signal: given.signal }));
  setTimeout(() => given.abort(new Error("enough")), 200);
  same((await long).message, "enough");
  same((await failure(sandbox.exec(["sleep", "1000"], { timeoutMs: 100_000, deadlineMs: 200 }))).name, "DeadlineExceeded");

  await sandbox.delete();
  same((await failure(sandbox.info())) instanceof NotFound, true);
}

await all(new CapsuleClient(baseUrl));
if (unix !== "") await all(new CapsuleClient(`unix:${unix}`));

// Nobody listens there: nothing was sent.
const listener = createServer();
const port = await new Promise((done) => listener.listen(0, "127.0.0.1", () => done(listener.address().port)));
await new Promise((done) => listener.close(done));
const refused = await failure(new CapsuleClient({ baseUrl: `http://127.0.0.1:${port}`, retries: 0 }).health());
same([refused instanceof ConnectionFailed, refused.nothingSent], [true, true]);
const never = () => new Promise(() => {});
const silent = await failure(new CapsuleClient({ deadlineMs: 100, fetch: never }).health());
same(silent instanceof DeadlineExceeded, true);
console.log("as expected");
