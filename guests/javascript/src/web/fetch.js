// `fetch`: requests over the host's connections. Each redirect connects anew, so that the
// host looks at each.

import { Body } from "./body.js";
import { Connection } from "./connection.js";
import { readResponse, sendRequest } from "./http.js";
import { Request, Response } from "./messages.js";

const MOST_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const NO_BODY = { bytes: undefined };

export async function fetch(input, init) {
  const request = new Request(input, init);
  const { signal } = request;
  signal.throwIfAborted();
  let url = new URL(request.url);
  if (url.protocol === "data:") return data(url);
  let { method } = request;
  let headers = new Headers(request.headers);
  let source = Body.take(request);
  for (let count = 0; ; count++) {
    const answer = await exchange({ method, url, headers }, source, signal);
    const location = REDIRECTS.has(answer.status) ? answer.headers.get("location") : null;
    if (location === null || request.redirect === "manual") return respond(answer, url, count > 0, signal);
    answer.connection.close();
    if (request.redirect === "error") throw new TypeError("fetch failed: unexpected redirect");
    if (count === MOST_REDIRECTS) throw new TypeError("fetch failed: redirect count exceeded");
    const next = new URL(location, url);
    const isRewritten = answer.status === 303 ? method !== "GET" && method !== "HEAD" : answer.status <= 302 && method === "POST";
    if (isRewritten) {
      method = "GET";
      source = NO_BODY;
      headers = new Headers(headers);
      for (const name of ["content-type", "content-encoding", "content-language", "content-location"]) headers.delete(name);
    } else if (source.stream !== undefined) {
      throw new TypeError("fetch failed: a body that is a stream cannot be sent again after a redirect");
    }
    if (next.origin !== url.origin) {
      headers = new Headers(headers);
      for (const name of ["authorization", "cookie", "proxy-authorization"]) headers.delete(name);
    }
    url = next;
  }
}

/** One request and the head of its response, on a connection of its own. */
async function exchange(request, source, signal) {
  const { url, method } = request;
  const isSecure = url.protocol === "https:";
  if (!isSecure && url.protocol !== "http:") throw new TypeError(`fetch failed: unknown scheme ${url.protocol}`);
  const connection = new Connection(signal);
  const abort = () => connection.abort(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const port = url.port === "" ? (isSecure ? 443 : 80) : Number(url.port);
    await connection.open(host, port, isSecure ? host : undefined);
    await sendRequest(connection, request, source);
    const answer = await readResponse(connection, method);
    return { ...answer, connection, abort };
  } catch (error) {
    signal.removeEventListener("abort", abort);
    connection.close();
    throw error;
  }
}

/** The response, whose body comes as it is read. */
function respond({ status, statusText, headers, chunks, connection, abort }, url, redirected, signal) {
  const over = () => {
    signal.removeEventListener("abort", abort);
    connection.close();
  };
  let stream;
  if (chunks === null) {
    over();
  } else {
    stream = new ReadableStream({
      async pull(controller) {
        try {
          const { done, value } = await chunks.next();
          if (!done) return controller.enqueue(value);
          over();
          controller.close();
        } catch (error) {
          over();
          controller.error(error);
        }
      },
      cancel: over,
    }, { highWaterMark: 0 });
    for (const coding of (headers.get("content-encoding") ?? "").toLowerCase().split(",").reverse()) {
      const format = { "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate" }[coding.trim()];
      if (format !== undefined) stream = stream.pipeThrough(new DecompressionStream(format));
    }
  }
  const is = { status, statusText, headers, type: "basic", url: withoutHash(url), redirected };
  return Response.made(is, { stream });
}

const withoutHash = (url) => url.href.slice(0, url.href.length - url.hash.length);

/** `data:` URLs hold their answer. */
function data(url) {
  const [, type, base64, text] = /^data:([^,]*?)(;\s*base64)?,([\s\S]*)$/i.exec(url.href.split("#")[0]) ?? [];
  if (text === undefined) throw new TypeError("fetch failed: invalid data URL");
  const bytes = percentDecoded(text);
  const content = base64 === undefined ? bytes : Uint8Array.from(atob(String.fromCharCode(...bytes)), (char) => char.charCodeAt(0));
  const headers = new Headers({ "content-type": type === "" ? "text/plain;charset=US-ASCII" : type });
  return Response.made({ status: 200, statusText: "OK", headers, type: "basic", url: url.href }, { bytes: content });
}

function percentDecoded(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at++) {
    const hex = /^%([\da-f]{2})/i.exec(text.slice(at, at + 3));
    bytes.push(hex === null ? text.charCodeAt(at) : Number.parseInt(hex[1], 16));
    if (hex !== null) at += 2;
  }
  return Uint8Array.from(bytes);
}
