// `process`, as far as a sandbox has one.

import { env } from "./environment.js";
import { write } from "./output.js";

export const process = { env, argv: ["capsule"], stdout: { write: (t) => write(1, t) } };

/** Says which program runs. */
export function setArguments(file) {
  process.argv = ["capsule", file];
}
