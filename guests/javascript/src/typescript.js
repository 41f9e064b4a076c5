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

/** The same code in JavaScript, every line in its place. */
export const withoutTypes = (code) => transform(code, OPTIONS).code;
