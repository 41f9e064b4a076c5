/** Points in time until which something has to be done. */

import { DeadlineExceeded } from "./errors.js";

/** So many milliseconds from now; `extend` begins anew. What waits under it is given up then. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #what: string;
  readonly #outer: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #until = 0;
  /** Who waits. No promise that stays is waited for: it would keep all that ever came of others. */
  readonly #waiting = new Set<(reason: unknown) => void>();

  constructor(milliseconds: number, what: string, outer?: AbortSignal) {
    this.#what = what;
    this.#outer = outer;
    if (outer?.aborted) this.#give(outer.reason);
    else outer?.addEventListener("abort", this.#stop, { once: true });
    this.extend(milliseconds);
  }

  /** For whatever takes a signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Milliseconds that are left. */
  get left(): number {
    return Math.max(0, this.#until - Date.now());
  }

  /** So many milliseconds from now. */
  extend(milliseconds: number): void {
    if (!(milliseconds > 0)) {
      throw new RangeError(`a deadline is a number of milliseconds above 0, not ${milliseconds}`);
    }
    clearTimeout(this.#timer);
    if (this.signal.aborted) return;
    this.#until = Date.now() + milliseconds;
    // A timer counts to 2^31, and takes more for nothing.
    this.#timer = setTimeout(
      () => this.#give(new DeadlineExceeded(`${this.#what}: nothing within ${milliseconds} ms`)),
      Math.min(milliseconds, 2 ** 31 - 1),
    );
  }

  /** A promise, or the end of the deadline. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      promise.then(
        (value) => {
          this.#waiting.delete(reject);
          resolve(value);
        },
        (error) => {
          this.#waiting.delete(reject);
          reject(error);
        },
      );
      if (this.signal.aborted) reject(this.signal.reason);
    });
  }

  /** Throws if it is over. */
  check(): void {
    this.signal.throwIfAborted();
  }

  /** It is kept. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#stop);
  }

  /** Gives up what waits under it. */
  abort(): void {
    this.#give(new DOMException("it was given up", "AbortError"));
  }

  readonly #stop = (): void => this.#give(this.#outer?.reason);

  #give(reason: unknown): void {
    this.clear();
    this.#controller.abort(reason);
    for (const reject of this.#waiting) reject(this.signal.reason);
    this.#waiting.clear();
  }
}

/** Waits. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}
