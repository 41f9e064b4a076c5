// One TCP connection, plain or with TLS that the host speaks.

import { cancel, close, connect, receive, secure, send } from "capsule:guest/host@0.1.0";

import { DeniedError } from "../errors.js";
import * as operations from "../operations.js";

/** What `receive` asks for at once. */
const CHUNK = 64 * 1024;

const CODES = {
  BrokenPipe: "EPIPE", Closed: "EBADF", ConnectionRefused: "ECONNREFUSED", ConnectionReset: "ECONNRESET",
  TimedOut: "ETIMEDOUT", TooLarge: "EDQUOT", TooMany: "EMFILE", Unreachable: "EHOSTUNREACH",
  NameNotFound: "ENOTFOUND", Tls: "ERR_TLS", Certificate: "ERR_TLS_CERT",
};

/** The error of a connection that the host refused or lost. */
function explain(failure) {
  if (!(failure instanceof operations.HostFailure)) return failure;
  if (failure.kind === "Denied") return new DeniedError(failure.message);
  const cause = Object.assign(new Error(failure.message), { code: CODES[failure.kind] ?? "EIO" });
  return new TypeError(`fetch failed: ${failure.message}`, { cause });
}

export class Connection {
  #number;
  #pending = new Set();
  #signal;
  #buffer = new Uint8Array(0);
  #isAtEnd = false;

  constructor(signal) {
    this.#signal = signal;
  }

  /** Connects, and begins TLS if there is a name to check. */
  async open(host, port, tlsName) {
    const bytes = await this.#perform(connect, host, port);
    this.#number = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
    if (tlsName !== undefined) await this.#perform(secure, this.#number, tlsName, true);
  }

  /** Sends all of it. */
  async send(bytes) {
    for (let at = 0; at < bytes.length; at += CHUNK * 4) {
      await this.#perform(send, this.#number, bytes.subarray(at, at + CHUNK * 4));
    }
  }

  /** The next bytes; none at the end. */
  async receive() {
    if (this.#buffer.length > 0) {
      const bytes = this.#buffer;
      this.#buffer = new Uint8Array(0);
      return bytes;
    }
    if (this.#isAtEnd) return new Uint8Array(0);
    const bytes = await this.#perform(receive, this.#number, CHUNK);
    this.#isAtEnd = bytes.length === 0;
    return bytes;
  }

  /** Puts back what was read too far. */
  unread(bytes) {
    if (bytes.length === 0) return;
    const all = new Uint8Array(bytes.length + this.#buffer.length);
    all.set(bytes);
    all.set(this.#buffer, bytes.length);
    this.#buffer = all;
  }

  close() {
    if (this.#number !== undefined) close(this.#number);
    this.#number = undefined;
  }

  /** Gives up, whatever is under way. */
  abort(reason) {
    for (const { number, reject } of this.#pending) {
      operations.forget(number, cancel);
      reject(reason);
    }
    this.#pending.clear();
    this.close();
  }

  async #perform(call, ...given) {
    if (this.#signal?.aborted) throw this.#signal.reason;
    const { promise, resolve, reject } = Promise.withResolvers();
    let pending;
    try {
      const { number, bytes } = operations.begin(call, ...given);
      pending = { number, reject };
      this.#pending.add(pending);
      bytes.then(resolve, reject);
      return await promise;
    } catch (failure) {
      throw explain(failure);
    } finally {
      this.#pending.delete(pending);
    }
  }
}
