// Builds the component: one script of all that is in src/, evaluated once, its memory kept.
//
//   node build.js WIT OUTPUT        with node_modules beside it

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";

const [wit, output] = process.argv.slice(2);
/** What packages ask for by Node's names, and is ours. */
const OURS = {
  "abort-controller": "src/shims/abort.js",
  "readable-stream": "node_modules/readable-stream/lib/ours/browser.js",
  "process/": "src/shims/process.js",
  "util": "src/node/util.js",
};
const ours = {
  name: "ours",
  setup: ({ onResolve }) =>
    onResolve({ filter: /^(abort-controller|readable-stream|process\/|util)$/ }, ({ path }) => ({ path: resolve(OURS[path]) })),
};

const work = await mkdtemp(join(tmpdir(), "capsule-guest."));
try {
  // The name is what stacks show, and what is left out of them.
  const script = join(work, "capsule:runtime.js");
  await build({
    entryPoints: ["src/main.js"],
    outfile: script,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    external: ["capsule:*", "wasi:*"],
    plugins: [ours],
    logLevel: "warning",
  });
  const { component } = await componentize({
    sourcePath: script,
    witPath: wit,
    worldName: "guest",
    disableFeatures: ["http", "fetch-event"],
  });
  await writeFile(output, component);
} finally {
  await rm(work, { recursive: true });
}
