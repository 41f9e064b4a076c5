/**
 * What only some platforms have. Loaded when it is asked for, by a name that no bundler
 * follows, so that a page never meets it.
 */

const load = (name: string): Promise<unknown> =>
  import(/* webpackIgnore: true */ /* @vite-ignore */ name);

export const nodeHttp = (): Promise<typeof import("node:http")> => load("node:http") as never;
export const nodeFiles = (): Promise<typeof import("node:fs/promises")> =>
  load("node:fs/promises") as never;
export const nodeStream = (): Promise<typeof import("node:stream")> => load("node:stream") as never;

/** An environment variable; nothing in a browser. */
export function variable(name: string): string | undefined {
  const found = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process;
  try {
    return found?.env?.[name] || undefined;
  } catch {
    // Deno asks its user, who may say no.
    return undefined;
  }
}
