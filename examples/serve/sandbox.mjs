// Goes on in the sandbox that sandbox.py made: reads its file, types in a terminal, deletes it.

import { CapsuleClient } from "capsule-sdk";

const client = new CapsuleClient();
const sandbox = await client.create({ template: "python", key: "demo" });
console.log("from Python:", (await sandbox.readFileText("lengths.txt")).trim());

const terminal = sandbox.connectTerminal();
terminal.send("echo answer $((6 * 7)); exit\n");
let screen = "";
for await (const text of terminal) screen += text;
console.log("in the terminal:", /answer \d+/.exec(screen)?.[0]);

await sandbox.delete();
const left = [];
for await (const one of client.sandboxes()) left.push(one.id);
console.log("sandboxes left:", left.length);
