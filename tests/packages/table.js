#!/usr/bin/env node
// Asks packages of npm what they are for, inside of a sandbox, and writes docs/packages-npm.md.
//
//   node tests/packages/table.js [--check] [NAME…]
//
// Needs node_modules beside it (npm ci) and CAPSULE_BIN. With --check nothing is written, and
// the file has to say the same.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { cases } from "./cases.js";

const here = dirname(fileURLToPath(import.meta.url));
const capsule = process.env.CAPSULE_BIN ?? join(here, "../../dist/capsule");
const names = process.argv.slice(2).filter((word) => !word.startsWith("--"));
const isCheck = process.argv.includes("--check");

// Below the package.json, whose folder the program may import from.
const folder = mkdtempSync(join(here, ".case-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** What `capsule run` makes of a program: an answer, or why there is none. */
function run(code) {
  const file = join(folder, "main.ts");
  writeFileSync(file, code);
  const { stdout, stderr, error } = spawnSync(capsule, ["run", file, "--json"], { timeout: 120_000 });
  if (error !== undefined) return { why: String(error) };
  try {
    const told = JSON.parse(stdout.toString());
    if (told.success) return { answer: told.result };
    return { why: `${told.error.error_type}: ${told.error.message}` };
  } catch {
    return { why: stderr.toString() };
  }
}

const first = run("export const main = (): number => 1;");
if (first.answer !== 1) {
  console.log(`skipped: this capsule runs no TypeScript (${first.why?.trim()})`);
  process.exit(77);
}

const version = (name) =>
  JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8")).version;
const rows = [];
let failed = 0;
let right = 0;
for (const { name, code, answer, lacks } of cases) {
  if (names.length > 0 && !names.includes(name)) continue;
  const found = run(code);
  const isRight = JSON.stringify(found.answer) === JSON.stringify(answer);
  if (isRight) right += 1;
  if (lacks === undefined ? !isRight : !found.why?.includes(lacks)) {
    failed += 1;
    console.log(`failed: ${name}: ${found.why ?? JSON.stringify(found.answer)}`);
  }
  const why = (found.why ?? "another answer").split("\n")[0].replaceAll("|", "\\|");
  rows.push(`| [${name}](https://www.npmjs.com/package/${name}) | ${version(name)} | ${isRight ? "right" : why} |`);
}

const text = `# Packages of npm

What was tried: each package was imported by a program in TypeScript, asked something that
it is for, in a sandbox without any right, and its answer compared. The questions are in
[cases.js](../tests/packages/cases.js); \`node tests/packages/table.js\` writes this table.

${right} of ${rows.length} answer right.

| package | version | answer |
|---|---|---|
${rows.join("\n")}
`;
const page = join(here, "../../docs/packages-npm.md");
console.log(`packages: ${rows.length - failed} passed, ${failed} failed, 0 skipped`);
if (isCheck) {
  if (readFileSync(page, "utf8") !== text) {
    console.log("docs/packages-npm.md says something else; hint: node tests/packages/table.js");
    process.exit(1);
  }
} else if (names.length === 0) {
  writeFileSync(page, text);
}
process.exit(failed === 0 ? 0 : 1);
