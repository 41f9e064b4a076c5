import { task } from "@capsule-run/sdk";
import * as probe from "./probe";

const open = task({ name: "open", isolation: "jail", allowedHosts: ["127.0.0.1:@OPEN@"] }, async () => {
  await probe.control("network: the allowed server", () => fetch("http://127.0.0.1:@OPEN@/"));
  for (const url of ["http://127.0.0.1:@PORT@/", "http://localhost:@PORT@/", "http://[::1]:@PORT@/", "http://127.0.0.1:@OPEN@/redirect", "http://127.0.0.1:@OPEN@/redirect-name"]) {
    await probe.refused(`fetch ${url}`, () => fetch(url));
  }
  await probe.refused("a tunnel of its own", () => dial(3128, "CONNECT 127.0.0.1:@PORT@ HTTP/1.1\r\nHost: 127.0.0.1:@OPEN@\r\n\r\n"));
  await probe.refused("a request to the door", () => dial(3128, "GET http://127.0.0.1:@PORT@/ HTTP/1.1\r\nHost: 127.0.0.1:@OPEN@\r\n\r\n"));
  return probe.log;
});

async function dial(port: number, said: string) {
  const { connect } = await import("node:net");
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", reject).once("close", () => reject(new Error("closed")));
    socket.once("data", (bytes) => (/ 200 /.test(bytes.toString().split("\r\n")[0]) ? resolve(bytes.toString()) : reject(new Error(bytes.toString().slice(0, 60)))));
    socket.setTimeout(3000, () => reject(new Error("silence")));
    socket.write(said);
  });
}

const closed = task({ name: "closed", isolation: "jail" }, async () => {
  const http = await import("node:http");
  const dgram = await import("node:dgram");
  const dns = await import("node:dns/promises");
  await probe.refused("fetch", () => fetch("http://127.0.0.1:@PORT@/"));
  await probe.refused("http", () => new Promise((resolve, reject) => http.get("http://127.0.0.1:@PORT@/", resolve).on("error", reject)));
  await probe.refused("net", () => dial(@PORT@, "x"));
  await probe.refused("the door of others", () => dial(3128, "CONNECT 127.0.0.1:@PORT@ HTTP/1.1\r\n\r\n"));
  await probe.refused("a metadata service", () => fetch("http://169.254.169.254/"));
  await probe.refused("a name", () => dns.resolve4("example.com"));
  await probe.refused("a datagram", () => new Promise((resolve, reject) => dgram.createSocket("udp4").on("error", reject).send("x", 53, "8.8.8.8", (error) => (error ? reject(error) : resolve(1)))));
  return probe.log;
});

export const main = task({ name: "main" }, async () => {
  probe.add(await open());
  probe.add(await closed());
  return probe.told();
});
