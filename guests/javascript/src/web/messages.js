// `Request` and `Response`.

import { AbortController } from "./abort.js";
import { Body, extract } from "./body.js";

const STANDARD = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);
const EMPTY = new Set([101, 204, 205, 304]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

function methodOf(method) {
  const text = String(method);
  if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(text)) throw new TypeError(`${text} is not a valid HTTP method`);
  const upper = text.toUpperCase();
  if (["CONNECT", "TRACE", "TRACK"].includes(upper)) throw new TypeError(`${text} is a forbidden method`);
  return STANDARD.has(upper) ? upper : text;
}

function urlOf(input) {
  let url;
  try {
    url = new URL(String(input));
  } catch {
    throw new TypeError(`Failed to parse URL from ${input}`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new TypeError("a request cannot be made from a URL with credentials");
  }
  return url.href;
}

export class Request extends Body {
  #is;

  constructor(input, init = {}) {
    const from = input instanceof Request ? input : undefined;
    const url = from === undefined ? urlOf(input) : from.url;
    const method = methodOf(init.method ?? from?.method ?? "GET");
    const headers = new Headers(init.headers ?? from?.headers);
    const hasBody = init.body !== undefined && init.body !== null;
    if (hasBody && (method === "GET" || method === "HEAD")) {
      throw new TypeError("a request with method GET or HEAD cannot have a body");
    }
    const source = hasBody ? extract(init.body) : from !== undefined ? Body.take(from) : extract();
    super(source, headers);
    const kept = (name, otherwise) => init[name] ?? from?.[name] ?? otherwise;
    this.#is = {
      url, method, headers,
      signal: init.signal ?? from?.signal ?? new AbortController().signal,
      redirect: kept("redirect", "follow"),
      mode: kept("mode", "cors"),
      credentials: kept("credentials", "same-origin"),
      cache: kept("cache", "default"),
      referrer: kept("referrer", "about:client"),
      referrerPolicy: kept("referrerPolicy", ""),
      integrity: kept("integrity", ""),
      keepalive: kept("keepalive", false),
      duplex: "half",
      destination: "",
    };
    if (!["follow", "error", "manual"].includes(this.#is.redirect)) {
      throw new TypeError(`${this.#is.redirect} is not a way to treat redirects`);
    }
  }

  clone() {
    const source = Body.split(this);
    const is = { ...this.#is, headers: new Headers(this.headers) };
    // Any method that may have a body; then everything is what it was.
    const body = source.stream ?? source.bytes ?? (source.later === undefined ? null : laterStream(source));
    const copy = new Request(is.url, { method: "POST", body, signal: is.signal });
    copy.#is = is;
    return copy;
  }

  /** What a property of the request is. */
  static get(request, name) {
    return request.#is[name];
  }
}

const laterStream = ({ later }) =>
  new ReadableStream({
    async start(controller) {
      controller.enqueue(await later());
      controller.close();
    },
  });

const { get } = Request;
delete Request.get;
for (const name of [
  "url", "method", "headers", "signal", "redirect", "mode", "credentials", "cache", "referrer",
  "referrerPolicy", "integrity", "keepalive", "duplex", "destination",
]) {
  const property = { configurable: true, enumerable: true, get() { return get(this, name); } };
  Object.defineProperty(Request.prototype, name, property);
}

export class Response extends Body {
  #is;

  constructor(body = null, { status = 200, statusText = "", headers: given } = {}) {
    const code = Number(status);
    if (!Number.isInteger(code) || code < 200 || code > 599) {
      throw new RangeError(`Response constructor: invalid status ${status}`);
    }
    if (body !== null && body !== undefined && EMPTY.has(code)) {
      throw new TypeError(`a response with status ${code} cannot have a body`);
    }
    const headers = new Headers(given);
    super(extract(body), headers);
    this.#is = { status: code, statusText: String(statusText), headers, type: "default", url: "", redirected: false };
  }

  get status() {
    return this.#is.status;
  }
  get statusText() {
    return this.#is.statusText;
  }
  get headers() {
    return this.#is.headers;
  }
  get type() {
    return this.#is.type;
  }
  get url() {
    return this.#is.url;
  }
  get redirected() {
    return this.#is.redirected;
  }
  get ok() {
    return this.#is.status >= 200 && this.#is.status < 300;
  }

  clone() {
    return Response.made({ ...this.#is, headers: new Headers(this.headers) }, Body.split(this));
  }

  /** A response with properties that the constructor does not set. */
  static made(is, { stream, bytes, later } = {}) {
    const any = stream ?? bytes ?? (later === undefined ? null : laterStream({ later }));
    const body = EMPTY.has(is.status) ? null : any;
    const response = new Response(body, { status: is.status || 200, headers: is.headers });
    Object.assign(response.#is, is);
    return response;
  }

  static error() {
    return Response.made({ status: 0, statusText: "", headers: new Headers(), type: "error" });
  }

  static json(value, { headers: given, ...rest } = {}) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError("the value cannot be JSON");
    const headers = new Headers(given);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(text, { ...rest, headers });
  }

  static redirect(url, status = 302) {
    if (!REDIRECTS.has(status)) throw new RangeError(`${status} is not the status of a redirect`);
    return new Response(null, { status, headers: { location: new URL(url).href } });
  }
}

for (const [kind, name] of [[Request, "Request"], [Response, "Response"]]) {
  Object.defineProperty(kind.prototype, Symbol.toStringTag, { value: name, configurable: true });
}
