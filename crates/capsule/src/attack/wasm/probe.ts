/** What every program of the suite has at hand: it tries things, and keeps a list. */

export const log: [string, string, string][] = [];

const text = (value: unknown): string => {
  try {
    return String(value).slice(0, 300);
  } catch {
    return typeof value;
  }
};

const described = (error: any): string => `${text(error?.name ?? typeof error)}: ${text(error?.message ?? error)}`;

/** The action must throw, or its promise be rejected. */
export async function refused(what: string, action: () => unknown): Promise<void> {
  try {
    const value = await action();
    log.push([what, "through", text(value)]);
  } catch (error) {
    log.push([what, "held", described(error)]);
  }
}

/** Must hold. */
export function expect(what: string, holds: boolean, evidence: unknown = ""): void {
  log.push([what, holds ? "held" : "through", text(evidence)]);
}

/** The action must work, or the attempt means nothing. */
export async function control(what: string, action: () => unknown): Promise<any> {
  try {
    return await action();
  } catch (error) {
    log.push([what, "missed", described(error)]);
    return undefined;
  }
}

/** What another task noted. */
export function add(other: typeof log): void {
  log.push(...other);
}

export const told = () => ({ log: log.slice(-200), end: true });
