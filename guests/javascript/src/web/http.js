// HTTP/1.1 on a connection: one request, one response.

import { bytesOf } from "./body.js";

const MOST_HEAD = 64 * 1024;
const encoder = new TextEncoder();
/** Heads are bytes; other text than ASCII in them means what it meant to who wrote it. */
const latin = (bytes) => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
};

const broken = (why) => new TypeError(`fetch failed: the server's answer ${why}`);

/** Sends a request; `source` is its body, if it has one. */
export async function sendRequest(connection, { method, url, headers }, source) {
  const head = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`];
  const defaults = { "accept": "*/*", "accept-encoding": "gzip, deflate", "user-agent": "capsule" };
  for (const [name, value] of Object.entries(defaults)) if (!headers.has(name)) head.push(`${name}: ${value}`);
  for (const [name, value] of headers) {
    if (!["host", "content-length", "transfer-encoding", "connection"].includes(name)) head.push(`${name}: ${value}`);
  }
  head.push("connection: close");
  const bytes = source.stream === undefined ? await plainBytes(source) : undefined;
  const hasBody = bytes === undefined || bytes.length > 0 || ["POST", "PUT", "PATCH"].includes(method);
  if (bytes === undefined) head.push("transfer-encoding: chunked");
  else if (hasBody) head.push(`content-length: ${bytes.length}`);
  const text = encoder.encode(`${head.join("\r\n")}\r\n\r\n`);
  if (bytes !== undefined) return connection.send(joined(text, bytes));
  await connection.send(text);
  const reader = source.stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const chunk = bytesOf(value);
    if (chunk.length === 0) continue;
    await connection.send(joined(encoder.encode(`${chunk.length.toString(16)}\r\n`), chunk, encoder.encode("\r\n")));
  }
  await connection.send(encoder.encode("0\r\n\r\n"));
}

/** Bytes of a body that is no stream. */
const plainBytes = ({ bytes, later }) => bytes ?? later?.() ?? new Uint8Array(0);

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The response: its head, and the bytes of its body as an async iterator, null if it has none. */
export async function readResponse(connection, method) {
  for (;;) {
    const head = await readHead(connection);
    if (head.status >= 200) return { ...head, chunks: body(connection, method, head) };
  }
}

async function readHead(connection) {
  let bytes = new Uint8Array(0);
  for (;;) {
    const more = await connection.receive();
    if (more.length === 0) throw broken(bytes.length === 0 ? "is empty" : "ends within its head");
    const from = Math.max(0, bytes.length - 3);
    bytes = joined(bytes, more);
    const end = endOfHead(bytes, from);
    if (end < 0 && bytes.length <= MOST_HEAD) continue;
    if (end < 0 || end > MOST_HEAD) throw broken("has a head that is too long");
    connection.unread(bytes.slice(end));
    return parseHead(latin(bytes.subarray(0, end)));
  }
}

function endOfHead(bytes, from) {
  for (let at = from; at + 3 < bytes.length; at++) {
    if (bytes[at] === 13 && bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at + 4;
  }
  return -1;
}

function parseHead(text) {
  const [first, ...lines] = text.slice(0, -4).split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(first);
  if (status === null) throw broken("is no HTTP/1");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw broken("has a field without a name");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { status: Number(status[1]), statusText: status[2] ?? "", headers };
}

function body(connection, method, { status, headers }) {
  if (method === "HEAD" || status === 204 || status === 304) return null;
  const coding = headers.get("transfer-encoding");
  if (coding !== null) {
    if (coding.toLowerCase() !== "chunked") throw broken(`has the transfer coding ${coding}`);
    return chunked(connection);
  }
  const length = headers.get("content-length");
  if (length === null) return untilEnd(connection);
  if (!/^\d{1,15}$/.test(length)) throw broken("has a length that is no number");
  return Number(length) === 0 ? null : exactly(connection, Number(length));
}

async function* untilEnd(connection) {
  for (;;) {
    const bytes = await connection.receive();
    if (bytes.length === 0) return;
    yield bytes;
  }
}

async function* exactly(connection, length) {
  for (let left = length; left > 0;) {
    const bytes = await connection.receive();
    if (bytes.length === 0) throw broken("ends too early");
    if (bytes.length > left) connection.unread(bytes.slice(left));
    yield bytes.length > left ? bytes.slice(0, left) : bytes;
    left -= Math.min(left, bytes.length);
  }
}

async function* chunked(connection) {
  for (;;) {
    const size = /^([\da-f]{1,13})\s*(;.*)?$/i.exec(await line(connection));
    if (size === null) throw broken("has a chunk without a size");
    const length = Number.parseInt(size[1], 16);
    if (length === 0) break;
    yield* exactly(connection, length);
    if ((await line(connection)) !== "") throw broken("has a chunk that is longer than it says");
  }
  // Trailers are read, and mean nothing.
  for (let count = 0; (await line(connection)) !== ""; count++) {
    if (count > 100) throw broken("has too many trailers");
  }
}

async function line(connection) {
  let bytes = new Uint8Array(0);
  for (;;) {
    const more = await connection.receive();
    if (more.length === 0) throw broken("ends within a chunk");
    bytes = joined(bytes, more);
    const end = bytes.indexOf(10);
    if (end < 0 && bytes.length <= 8192) continue;
    if (end < 0) throw broken("has a line that is too long");
    connection.unread(bytes.slice(end + 1));
    return latin(bytes.subarray(0, end)).replace(/\r$/, "");
  }
}
