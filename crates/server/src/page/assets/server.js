// The server that this page came from: JSON-RPC, files, events, terminals. And the key, if it
// wants one: kept in this tab's session and nowhere else.

import { shown } from "./text.js";

const KEY = "capsule.key";
const PATIENCE = 30_000;

/** The server said no. */
export class Refused extends Error {
  constructor(error, status) {
    const hint = error?.data?.details?.hint;
    super(
      shown(error?.message ?? `the server answered ${status}`) + (hint ? ` (${shown(hint)})` : ""),
    );
    this.type = error?.data?.type ?? null;
    this.code = error?.data?.details?.error_code ?? null;
  }
}

/** Tells of `key` (one is wanted) and `link` (the server answers, or not). */
export const events = new EventTarget();

let key = stored();
let isLinked = null;

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function hasKey() {
  return key !== null;
}

export function setKey(value) {
  key = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // Then it is kept as long as the page is.
  }
}

function link(is) {
  if (is === isLinked) return;
  isLinked = is;
  events.dispatchEvent(new CustomEvent("link", { detail: is }));
}

function within(signal, time = PATIENCE) {
  const limit = AbortSignal.timeout(time);
  return signal ? AbortSignal.any([signal, limit]) : limit;
}

/** fetch, with the key; a server that wants one is told of. */
async function ask(path, { headers = {}, ...options } = {}) {
  const all = key === null ? headers : { ...headers, authorization: `Bearer ${key}` };
  let response;
  try {
    response = await fetch(path, {
      ...options,
      headers: all,
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (!options.signal?.aborted || error.name === "TimeoutError") link(false);
    throw error.name === "TimeoutError" ? new Error("the server did not answer in time") : error;
  }
  link(true);
  if (response.status === 401) {
    events.dispatchEvent(new CustomEvent("key"));
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response) {
  const body = await response.json().catch(() => null);
  return new Refused(body?.error, response.status);
}

let number = 0;

/** Most methods are of sandboxes; others are called by their whole name. */
function whole(method) {
  return method.includes(".") ? method : `sandbox.v1.${method}`;
}

function request(method, params) {
  number += 1;
  return { jsonrpc: "2.0", id: number, method: whole(method), params };
}

function post(body, signal, time) {
  const headers = { "content-type": "application/json" };
  const limit = time === null ? signal : within(signal, time);
  return ask("rpc", { method: "POST", headers, body: JSON.stringify(body), signal: limit });
}

/** One call. */
export async function call(method, params = {}, { signal, time } = {}) {
  const response = await post(request(method, params), signal, time);
  const answer = await response.json();
  if (answer.error) throw new Refused(answer.error, response.status);
  return answer.result;
}

/** Several calls at once; each is answered by its result, or null if it was refused. */
export async function calls(method, all, { signal } = {}) {
  if (all.length === 0) return [];
  const requests = all.map((params) => request(method, params));
  const response = await post(requests, signal);
  const answers = new Map(
    (await response.json()).map((answer) => [answer.id, answer.result ?? null]),
  );
  return requests.map(({ id }) => answers.get(id) ?? null);
}

/** The parameters that a method of this server knows: a newer page meets an older server. */
export async function parametersOf(method) {
  discovered ??= post(request("rpc.discover", {})).then((response) => response.json());
  const { result } = await discovered.catch(() => ({ result: null }));
  const found = result?.methods?.find((one) => one.name === whole(method));
  return new Set((found?.params ?? []).map((param) => param.name));
}
let discovered = null;

/** Server-sent events of a call, as they come. */
export async function* stream(method, params, signal) {
  const response = await post(request(method, params), signal, null);
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    const answer = await response.json();
    throw new Refused(answer.error, response.status);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((one) => one.startsWith("data: "));
      if (line) yield JSON.parse(line.slice(6));
    }
  }
}

export async function doctor(signal) {
  const response = await ask("doctor", { signal: within(signal, 60_000) });
  return response.json();
}

function filesOf(id, path) {
  return `sandbox/${encodeURIComponent(id)}/files?path=${encodeURIComponent(path)}`;
}

export async function upload(id, path, file) {
  await ask(filesOf(id, path), { method: "PUT", body: file });
}

/**
 * Where a file can be had: an address that the browser saves from as it comes, or, where a key
 * has to go along, which an address cannot carry, its bytes.
 */
export async function download(id, path) {
  if (key === null) return { address: filesOf(id, path), done() {} };
  const response = await ask(filesOf(id, path));
  const address = URL.createObjectURL(await response.blob());
  return { address, done: () => setTimeout(() => URL.revokeObjectURL(address), 60_000) };
}

/** The socket of a terminal: a login shell, or a process that runs already. */
export function terminal(id, { columns, rows, process = null }) {
  const address = new URL(`terminal/${encodeURIComponent(id)}`, document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  address.search = new URLSearchParams({
    control: "1",
    columns,
    rows,
    ...(process === null ? {} : { process }),
  });
  const protocols = key === null ? ["capsule.v1"] : ["capsule.v1", `capsule.key.${key}`];
  const socket = new WebSocket(address, protocols);
  socket.binaryType = "arraybuffer";
  return socket;
}
