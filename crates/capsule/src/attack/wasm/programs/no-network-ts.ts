import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

declare const require: any;

export const main = task({ name: "main", allowedHosts: ["127.0.0.1:@OPEN@"] }, async () => {
  await probe.control("network: the allowed server", () => fetch("http://127.0.0.1:@OPEN@/"));
  for (const url of [
    "http://127.0.0.1:@PORT@/", "http://localhost:@PORT@/", "http://[::1]:@PORT@/", "http://0.0.0.0:@PORT@/", "http://0x7f.1:@PORT@/", "http://2130706433:@PORT@/",
    "http://127.0.0.1:@OPEN@@127.0.0.1:@PORT@/", "http://user:127.0.0.1@127.0.0.1:@PORT@/", "http://169.254.169.254/latest/", "http://[::ffff:127.0.0.1]:@PORT@/",
    "https://127.0.0.1:@PORT@/", "ws://127.0.0.1:@PORT@/", "file:///private", "http://127.0.0.1:@OPEN@/redirect", "http://127.0.0.1:@OPEN@/redirect-name", "http://127.0.0.1:@OPEN@/redirect-relative",
  ]) {
    await probe.refused(url, () => fetch(url));
    // The server that may be visited redirects only who asks by GET.
    if (!url.includes("redirect")) await probe.refused(`POST ${url}`, () => fetch(new Request(url, { method: "POST", body: "x".repeat(1000) })));
  }
  await probe.refused("a header of its own", () => fetch("http://127.0.0.1:@OPEN@/", { headers: { "X-A": "a\r\nHost: 127.0.0.1:@PORT@" } }));
  await probe.refused("a method of its own", () => fetch("http://127.0.0.1:@OPEN@/", { method: "GET http://127.0.0.1:@PORT@/ HTTP/1.1\r\nX:" }));
  for (const name of ["net", "dgram", "http", "https", "tls", "dns", "http2", "inspector", "cluster", "worker_threads"]) await probe.refused(name, () => require(name));
  return probe.told();
});
