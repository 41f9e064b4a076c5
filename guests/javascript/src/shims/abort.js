// The engine has these; packages need no others.

export const { AbortController, AbortSignal } = globalThis;
