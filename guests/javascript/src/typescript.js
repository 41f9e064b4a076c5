// TypeScript in a session: its types are removed where it stands, line by line.
//
// A program is bundled by the host; a piece of code is too short-lived for that.

import { transform } from "sucrase";

const OPTIONS = {
  transforms: ["typescript"],
  disableESTransforms: true,
  // What is imported here may be used by the next piece.
  keepUnusedImports: true,
  preserveDynamicImport: true,
};

/** A namespace that holds code, which would go with the types. */
const NAMESPACE = /^[ \t]*(?:export[ \t]+)?(?:namespace|module)[ \t]+[\w$.]+\s*\{/m;

/** The same code in JavaScript, every line in its place. */
export function withoutTypes(code) {
  const found = NAMESPACE.exec(code);
  if (found !== null) {
    const line = code.slice(0, found.index).split("\n").length;
    const error = new SyntaxError("namespaces of TypeScript are not known to a session: use an object");
    throw Object.assign(error, { loc: { line, column: 1 }, isFinal: true });
  }
  return transform(code, OPTIONS).code;
}
