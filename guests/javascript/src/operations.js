// Operations that the host performs: begun here, answered by events.
//
// Nothing here waits. Whoever begins one gets a promise, and the host hands the answer
// over when it calls again. Between two calls all of this is data, and can be saved.

const listeners = new Map();

/** The host refused an operation, or it failed. */
export class HostFailure extends Error {
  constructor({ kind, message, detail }) {
    super(message);
    this.kind = kind;
    this.detail = detail;
  }
}

/** Calls the host; what it refuses is thrown as a HostFailure. */
export function ask(call, ...given) {
  try {
    return call(...given);
  } catch (error) {
    if (error?.payload?.kind !== undefined) throw new HostFailure(error.payload);
    throw error;
  }
}

/** Begins an operation: `number`, and a promise of its `bytes`. */
export function begin(call, ...given) {
  const number = ask(call, ...given);
  const { promise, resolve, reject } = Promise.withResolvers();
  listeners.set(number, { resolve, reject });
  return { number, bytes: promise };
}

/** Nobody waits for this operation any more; false if it had ended. */
export function forget(number, cancel) {
  if (!listeners.delete(number)) return false;
  cancel(number);
  return true;
}

/** Hands answers to those who wait for them; whether anybody did. */
export function deliver(events) {
  let isHeard = false;
  for (const { id, outcome } of events) {
    const listener = listeners.get(id);
    if (listener === undefined) continue;
    listeners.delete(id);
    isHeard = true;
    if (outcome.tag === "ok") listener.resolve(outcome.val);
    else listener.reject(new HostFailure(outcome.val));
  }
  return isHeard;
}

/** Whether anybody waits for an operation. */
export const isPending = () => listeners.size > 0;
