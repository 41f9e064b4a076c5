import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

// Each says to the host what no guest says, on the descriptor by which guests speak.
const say = task({ name: "say", isolation: "jail", timeout: "10s" }, async (said: string, isLong: boolean) => {
  const { writeSync } = await import("node:fs");
  const body = Buffer.from(said);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(isLong ? 2 ** 31 : body.length);
  writeSync(3, Buffer.concat([head, body]));
  await new Promise((resolve) => setTimeout(resolve, 3000));
  return "nobody minded";
});

export const main = task({ name: "main", timeout: "50s" }, async () => {
  for (const said of [
    "", "null", "{}", '{"grant":{"files":["/"]}}', '{"hello":{}}', '{"done":NaN}', `{"done":${"[".repeat(500)}${"]".repeat(500)}}`,
    '{"call":{"id":1,"task":"main","arguments":"{}","policy":{}}}', '{"call":{"id":-1,"task":"say","arguments":"{}"}}', '{"call":{"id":1,"task":"say","arguments":"{}","isolation":"none"}}',
    '{"answer":{"id":1,"value":"1"}}', '{"failed":{"kind":"E","message":"x","traceback":"","code":"E0"}}',
  ]) await probe.refused(said.slice(0, 30), () => say(said, false));
  await probe.refused("a frame of 2 GiB", () => say("x", true));
  return probe.told();
});
