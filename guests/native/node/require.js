// `require`: the SDK, Node's own modules, and the packages that are mounted.

import { createRequire } from "node:module";

import { CapsuleError } from "./errors.js";
import * as sdk from "./sdk.js";

const outside = (name) => () => {
  throw new CapsuleError(`${name}() starts programs from Node; inside a sandbox, call a task`);
};
const MODULES = {
  "@capsule-run/sdk": sdk,
  "@capsule-run/sdk/runner": {
    run: outside("run"),
    runJavaScript: outside("runJavaScript"),
    runPython: outside("runPython"),
  },
};

const node = createRequire("/program.js");

/** A module by its name. */
export function require(name) {
  return Object.hasOwn(MODULES, name) ? MODULES[name] : node(name);
}

Object.assign(require, { resolve: node.resolve, cache: node.cache, main: undefined });
