// The way out: fetch, node:http and node:https through the door of the jail, which is an
// HTTP proxy. Newer versions of Node know proxies themselves; this is one way for all.

import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";

import { DeniedError } from "./errors.js";

const DISPATCHER = Symbol.for("undici.globalDispatcher.1");
/** What a system call says where no network is. */
const UNREACHABLE = new Set(["ENETUNREACH", "EAI_AGAIN", "ENOTFOUND"]);
/** Bytes of the door's answer. */
const MOST_HEAD = 64 << 10;

/** Leads requests to the door, if there is one, and says in words that there is none. */
export function install() {
  const { http_proxy: address, no_proxy: exempt = "" } = process.env;
  const door = address === undefined ? undefined : new URL(address);
  // For the programs that this one starts.
  if (door !== undefined) process.env.NODE_USE_ENV_PROXY = "1";
  const own = new Set(exempt.split(",").filter((name) => name !== ""));
  const isOutside = (name) => !own.has(name.replace(/^\[|\]$/g, ""));
  if (door !== undefined) {
    for (const [Agent, isSecure] of [[http.Agent, false], [https.Agent, true]]) {
      const { createConnection } = Agent.prototype;
      Agent.prototype.createConnection = function (options, then) {
        if (options.socketPath || !isOutside(options.host)) return createConnection.call(this, options, then);
        dig(door, options.host, options.port, (error, socket) => {
          if (error !== undefined) return then(error);
          if (!isSecure) {
            then(null, socket);
            // Its new owner listens from the next tick on.
            return setImmediate(() => socket.resume());
          }
          return then(null, tls.connect({ ...options, host: undefined, port: undefined, path: undefined, socket }));
        });
        return undefined;
      };
    }
  }
  const { fetch } = globalThis;
  let isReady = door === undefined;
  const wrapped = async function (...given) {
    if (!isReady) {
      isReady = true;
      leadFetch(door, isOutside);
    }
    try {
      return await fetch(...given);
    } catch (error) {
      throw denied(error, given[0]) ?? error;
    }
  };
  Object.defineProperty(globalThis, "fetch", {
    value: Object.defineProperty(wrapped, "name", { value: "fetch" }),
    writable: true,
    configurable: true,
    enumerable: true,
  });
}

/** A failed fetch that the policy denied. */
function denied({ cause }, input) {
  if (cause instanceof DeniedError) return cause;
  const { code } = cause?.errors?.[0] ?? cause ?? {};
  if (!UNREACHABLE.has(code) || process.env.http_proxy !== undefined) return undefined;
  const { host } = new URL(input?.url ?? input);
  return new DeniedError(`${host} is not allowed: the task has no allowedHosts`);
}

/** Has the client of fetch connect through the door. */
function leadFetch(door, isOutside) {
  // Loads it.
  void globalThis.Response;
  const { constructor: Agent } = globalThis[DISPATCHER];
  globalThis[DISPATCHER] = new Agent({
    connect({ protocol, hostname, port, servername }, then) {
      const isSecure = protocol === "https:";
      const secured = (socket) => {
        const name = servername ?? (net.isIP(hostname) ? undefined : hostname);
        const wrapped = tls.connect({ socket, servername: name, ALPNProtocols: ["http/1.1"] });
        wrapped.once("secureConnect", () => then(null, wrapped)).once("error", then);
      };
      const connected = (error, socket) => {
        if (error !== undefined) return then(error);
        return isSecure ? secured(socket) : then(null, socket);
      };
      const at = Number(port || (isSecure ? 443 : 80));
      if (isOutside(hostname)) return dig(door, hostname, at, connected);
      const socket = net.connect(at, hostname);
      socket.once("connect", () => connected(undefined, socket)).once("error", then);
    },
  });
}

/** A tunnel through the door: calls `then` with an error or a socket. */
function dig(door, host, port, then) {
  const to = `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
  const socket = net.connect(Number(door.port), door.hostname);
  let head = Buffer.alloc(0);
  const fail = (error) => {
    socket.destroy();
    then(error);
  };
  const lost = () => fail(new Error(`the door hung up before ${to} was reached`));
  const hear = (bytes) => {
    head = Buffer.concat([head, bytes]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0 && head.length > MOST_HEAD) return lost();
    if (end < 0) return undefined;
    socket.off("data", hear).off("error", fail).off("end", lost);
    const status = head.toString("latin1", 9, 12);
    if (status !== "200") return fail(refusal(status, host, to, head.toString("utf8", end + 4)));
    socket.pause();
    if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
    return then(undefined, socket);
  };
  socket.on("data", hear).once("error", fail).once("end", lost);
  socket.write(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
}

/** What the door said, without its advice, which is for commands. */
function refusal(status, host, to, said) {
  const text = said.trim().replace(/^capsule: /, "").replace(/; hint: .*$/s, "");
  if (status !== "403") return new Error(`${to} cannot be reached: ${text || status}`);
  return new DeniedError(`${to} is not allowed: ${text}; the task option is allowedHosts: ["${host}"]`);
}
