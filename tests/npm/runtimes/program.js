// What the package does, in whatever runtime this is. Says "as expected", or why not.

import { deepStrictEqual as same } from "node:assert/strict";

import { TaskError, task } from "@capsule-run/sdk";
import { run, runJavaScript, Session } from "@capsule-run/sdk/runner";

const square = task({ name: "square" }, (n) => n * n);
same(await square.map([1, 2, 3]), [1, 4, 9]);
const fails = task({ name: "fails" }, () => {
  throw new RangeError("x");
});
const outer = task({ name: "outer" }, () => fails().catch((error) => error));
const seen = await outer();
same([seen instanceof TaskError, seen.errorType], [true, "RangeError"]);

const python = (source, options) => run({ source, language: "python", onOutput: null, ...options });
same((await python("def main(n): return n + 1", { args: [41] })).result, 42);
const many = Array.from({ length: 20 }, (_, n) => python("def main(n): return n", { args: [n] }));
same((await Promise.all(many)).map(({ result }) => result), [...many.keys()]);
const given = new AbortController();
setTimeout(() => given.abort(new Error("enough")), 200);
const endless = "def main():\n while True: pass";
const error = await python(endless, { signal: given.signal }).catch((error) => error.message);
same(error, "enough");
same(await python(endless, { timeout: 200 }).catch((error) => error.name), "TimeoutError");
let heard = "";
await python("def main(): print('é', end='')", {
  onOutput: (channel, data) => {
    heard += channel + new TextDecoder().decode(data);
  },
});
same(heard, "stdouté");

const typescript = "export const main = (n: number): number => n + 1;";
same((await run({ source: typescript, args: [41] })).result, 42);
same((await runJavaScript("const x: number = 5; x + 3")).value, 8);
const session = new Session();
await session.run("let x: number = 1");
same((await session.run("x + await Promise.resolve(1)")).value, 2);
await session.close();
console.log("as expected");
