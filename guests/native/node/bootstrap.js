// The first words of a native guest in Node: it hears over its channel what it is made of,
// and becomes it.
//
// Runs as `node -e`. The first frame holds every module that Capsule brings; so nothing of
// it lies in the jail as a file, and none of it can be meant by a program that happens to
// have a module of the same name.
"use strict";

const { readSync } = require("node:fs");
const { posix } = require("node:path");
const v8 = require("node:v8");
const vm = require("node:vm");

const CHANNEL = 3;
/** What the shared parts call the host. */
const INTERFACE = "capsule:guest/host@0.1.0";
const exit = process.reallyExit.bind(process);

function exactly(count) {
  const bytes = Buffer.allocUnsafe(count);
  for (let at = 0; at < count; ) {
    const read = readSync(CHANNEL, bytes, at, Math.min(count - at, 1 << 20));
    // The host is gone, and so is the reason to be.
    if (read === 0) exit(70);
    at += read;
  }
  return bytes;
}

const receive = () => JSON.parse(exactly(exactly(4).readUInt32BE(0)).toString());

// Integers that a number cannot hold are read from their text. Node 20 has that, but asleep.
const knowsSource = () => JSON.parse("1", (_key, _value, context) => context?.source) === "1";
if (!knowsSource()) v8.setFlagsFromString("--harmony-json-parse-with-source");

const { modules, ...start } = receive().start;
const linked = new Map();

/** One of Node's own modules, for those that Capsule brings. */
function builtin(name) {
  const found = require(name);
  const names = new Set(["default", ...Object.keys(found)]);
  return new vm.SyntheticModule([...names], function () {
    for (const key of names) this.setExport(key, key === "default" ? found : found[key]);
  }, { identifier: name });
}

function find(name) {
  let module = linked.get(name);
  if (module === undefined) {
    module = Object.hasOwn(modules, name)
      // A place that no program has: stacks leave out what is there.
      ? new vm.SourceTextModule(modules[name], {
        identifier: `capsule:${name}`,
        // What the program imports at run time is Node's to find.
        importModuleDynamically: (specifier) => import(specifier),
      })
      : builtin(name);
    linked.set(name, module);
  }
  return module;
}

function link(specifier, { identifier }) {
  if (specifier === INTERFACE) return find("host.js");
  const folder = posix.dirname(identifier.slice("capsule:".length));
  return find(specifier.startsWith(".") ? posix.join(folder, specifier) : specifier);
}

async function become() {
  // That modules of this kind are new is no news to the user.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  const app = find("app.js");
  await app.link(link);
  process.emitWarning = emitWarning;
  await app.evaluate();
  app.namespace.main(start);
}

become().catch((error) => {
  console.error(error);
  exit(70);
});
//# sourceURL=capsule:bootstrap.js
