// Writes the TypeScript that a page shows of `capsule-sdk` into a folder, a file for each:
//
//   node extract.js PAGE FOLDER
//
// Prints their names.

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const [, , page, folder] = process.argv;
const blocks = [...readFileSync(page, "utf8").matchAll(/^```(?:ts|typescript)\n(.*?)^```/gms)];
const programs = blocks.map(([, text]) => text).filter((text) => text.includes('from "capsule-sdk"'));
if (programs.length === 0) throw new Error(`${page} shows no program`);
for (const [number, text] of programs.entries()) {
  const name = `${basename(page, ".md").toLowerCase()}-${number + 1}`;
  writeFileSync(join(folder, `${name}.ts`), text);
  console.log(name);
}
