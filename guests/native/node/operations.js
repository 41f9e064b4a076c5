// Operations that the host performs, for the parts of a guest that are shared.

/** The host refused an operation, or it failed. */
export class HostFailure extends Error {
  constructor({ kind, message, detail }) {
    super(message);
    this.kind = kind;
    this.detail = detail;
  }
}

/** Begins an operation: `number`, and a promise of its `bytes`. */
export function begin(call, ...given) {
  const { number, answer } = call(...given);
  const bytes = answer.then(({ value, failure }) => {
    if (failure !== undefined) throw new HostFailure(failure);
    return Buffer.from(value);
  });
  return { number, bytes };
}

/** Nobody waits for this operation any more; false if it had ended. */
export const forget = (number, cancel) => cancel(number);
