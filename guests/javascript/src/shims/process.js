// What the packages of streams use of `process`: without a cycle of imports.

export const nextTick = (callback, ...given) => queueMicrotask(() => callback(...given));
export const env = {};
export const stdout = undefined;
export const stderr = undefined;
