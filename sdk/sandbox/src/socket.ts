/**
 * WebSockets: the platform's own, or, where it has none (Node 20) or cannot take the way (a Unix
 * socket), one over `node:http`.
 */

import type { Socket as NodeSocket } from "node:net";
import { type CapsuleError, ConnectionFailed, ProtocolError, refusalOf } from "./errors.js";
import { BINARY, CLOSE, Incoming, PING, PONG, pack, TEXT } from "./frames.js";
import { nodeHttp } from "./platform.js";

/** A socket. */
export interface Socket {
  send(data: string | Uint8Array): void;
  close(code: number): void;
}

/** What is heard of one. `closed` is told once, last, whatever happens. */
export interface Heard {
  opened(): void;
  message(data: Uint8Array): void;
  closed(code: number, reason: string, error?: CapsuleError): void;
}

/** The server as a socket sees it. */
export interface SocketAddress {
  url: string;
  apiKey: string | undefined;
  unix: string | undefined;
}

/** Opens one. */
export function openSocket(address: SocketAddress, heard: Heard): Socket {
  const hasOwn = typeof WebSocket === "function" && address.unix === undefined;
  // That of Deno forgets how a socket was closed if the connection ends right after.
  const isForgetful = "Deno" in globalThis && address.url.startsWith("ws:");
  return hasOwn && !isForgetful ? platformSocket(address, heard) : nodeSocket(address, heard);
}

function platformSocket({ url, apiKey }: SocketAddress, heard: Heard): Socket {
  // A page cannot set headers; the key is a protocol then.
  const protocols = apiKey === undefined ? ["capsule.v1"] : ["capsule.v1", `capsule.key.${apiKey}`];
  const socket = new WebSocket(url, protocols);
  socket.binaryType = "arraybuffer";
  let isOpen = false;
  socket.onopen = () => {
    isOpen = true;
    heard.opened();
  };
  socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
    heard.message(typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data));
  };
  socket.onclose = ({ code, reason }) => {
    const broke = new ConnectionFailed(`${new URL(url).host}: the terminal cannot be opened`);
    heard.closed(code, reason, isOpen ? undefined : broke);
  };
  return {
    send: (data) => socket.send(data as string | Uint8Array<ArrayBuffer>),
    close: (code) => socket.close(code),
  };
}

function nodeSocket(address: SocketAddress, heard: Heard): Socket {
  let socket: NodeSocket | undefined;
  let giveUp: (() => void) | undefined;
  let isClosed = false;
  const finish = (code: number, reason: string, error?: CapsuleError): void => {
    if (isClosed) return;
    isClosed = true;
    giveUp?.();
    socket?.destroy();
    heard.closed(code, reason, error);
  };
  const fail = (error: unknown): void => {
    const known = error instanceof ProtocolError || error instanceof ConnectionFailed;
    finish(
      1006,
      "",
      known
        ? error
        : new ConnectionFailed(`the terminal cannot be opened: ${error}`, { cause: error }),
    );
  };
  connect(address, (request) => {
    giveUp = () => request.destroy();
    if (isClosed) giveUp();
  }).then((opened) => {
    if (isClosed) return opened.socket.destroy();
    socket = opened.socket;
    listen(opened, heard, finish);
    return undefined;
  }, fail);
  return {
    send: (data) => {
      const [kind, bytes] =
        typeof data === "string" ? [TEXT, new TextEncoder().encode(data)] : [BINARY, data];
      socket?.write(pack(kind, bytes));
    },
    close: (code) => {
      socket?.write(pack(CLOSE, new Uint8Array([code >> 8, code & 0xff])));
      finish(1005, "");
    },
  };
}

interface Opened {
  socket: NodeSocket;
  early: Uint8Array;
}

async function connect(
  { url, apiKey, unix }: SocketAddress,
  begun: (request: { destroy(): unknown }) => void,
): Promise<Opened> {
  const { request } = await nodeHttp();
  const at = new URL(url);
  if (at.protocol === "wss:") throw new ConnectionFailed("wss:// needs a platform with WebSocket");
  const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
  const magic = new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", magic));
  const headers: Record<string, string> = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": key,
  };
  if (apiKey !== undefined) headers["authorization"] = `Bearer ${apiKey}`;
  return await new Promise((resolve, reject) => {
    const where =
      unix === undefined ? { host: hostOf(at), port: at.port || 80 } : { socketPath: unix };
    const path = at.pathname + at.search;
    const sent = request({ ...where, path, headers: { host: at.host, ...headers }, agent: false });
    begun(sent);
    sent.on("error", reject);
    sent.on("upgrade", (response, socket, early) => {
      if (response.headers["sec-websocket-accept"] !== btoa(String.fromCharCode(...digest))) {
        socket.destroy();
        return reject(new ProtocolError("the server does not speak WebSocket"));
      }
      return resolve({ socket: socket as NodeSocket, early });
    });
    sent.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        text += piece;
        if (text.length > 65_536) response.destroy();
      });
      response.on("close", () => reject(refused(response.statusCode ?? 0, text)));
    });
    sent.end();
  });
}

const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "");

function refused(status: number, text: string): CapsuleError {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (error !== undefined) return refusalOf(error);
  } catch {
    // Not one of the server's answers.
  }
  return new ProtocolError(`the server answered with HTTP status ${status}`);
}

function listen(
  { socket, early }: Opened,
  heard: Heard,
  finish: (code: number, reason: string, error?: CapsuleError) => void,
): void {
  const incoming = new Incoming();
  const take = (piece: Uint8Array): void => {
    try {
      for (const { kind, data } of incoming.add(piece)) {
        if (kind === BINARY || kind === TEXT) heard.message(data);
        else if (kind === PING) socket.write(pack(PONG, data));
        else if (kind === CLOSE) {
          const [high, low] = data;
          const code = high === undefined || low === undefined ? 1005 : (high << 8) | low;
          socket.write(pack(CLOSE, data.subarray(0, 2)));
          finish(code, new TextDecoder().decode(data.subarray(2)));
        }
      }
    } catch (error) {
      finish(1002, "", error instanceof ProtocolError ? error : new ProtocolError(String(error)));
    }
  };
  socket.on("data", take);
  socket.on("error", () => finish(1006, ""));
  socket.on("close", () => finish(1006, ""));
  socket.setNoDelay(true);
  heard.opened();
  if (early.length > 0) take(early);
}
