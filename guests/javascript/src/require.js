// `require`: what is in the image, and nothing else.

import { IN_NODE } from "./missing.js";
import { isBuiltin, load } from "./modules.js";

/** A module by its name. */
export function require(name) {
  const found = load(String(name));
  if (found !== undefined) return found;
  const missing = isBuiltin(name)
    ? `"${name}" of Node ${IN_NODE}`
    : String(name).endsWith(".node")
      ? `the native code "${name}" ${IN_NODE}`
      : `Cannot find module "${name}": it is not in the program, nor in the sandbox`;
  throw Object.assign(new Error(missing), { code: "MODULE_NOT_FOUND" });
}

require.resolve = (name) => name;
require.cache = Object.create(null);
