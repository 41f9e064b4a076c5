import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

// On the host somebody listens on that port: an inspector that got it would be the host's.
const listen = task({ name: "listen", isolation: "jail" }, async () => {
  const inspector = await import("node:inspector");
  const { createServer } = await import("node:net");
  await probe.control("the port is free, as the network is another", () => inspector.open(@PORT@, "127.0.0.1"));
  probe.expect("the inspector is its own", inspector.url()!.startsWith("ws://127.0.0.1:@PORT@/"), inspector.url());
  const session = new inspector.Session();
  session.connect();
  await probe.refused("the host's files by the inspector", () => new Promise((resolve, reject) =>
    session.post("Runtime.evaluate", { expression: "process.getBuiltinModule('fs').readFileSync('@OUTSIDE@/secret', 'utf8')" }, (error, { result }: any) =>
      (error || result.subtype === "error" ? reject(error ?? new Error(result.description)) : resolve(result.value)))));
  await probe.control("a server of its own", () => new Promise((resolve, reject) => createServer().on("error", reject).listen(@OPEN@, "0.0.0.0", () => resolve(1))));
  return probe.log;
});

export const main = task({ name: "main" }, async () => {
  probe.add(await listen());
  return probe.told();
});
