// We have these; packages need no others.

export { AbortController, AbortSignal } from "../web/abort.js";
