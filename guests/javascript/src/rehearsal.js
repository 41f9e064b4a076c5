// A rehearsal, when the runtime is built: what every run does is done some times.
//
// The engine makes its own functions when they are first called, and compiles patterns when
// they are first matched. What was made is in the image; else every run would make it anew.

import { format } from "./inspect.js";
import * as loop from "./loop.js";
import * as program from "./program.js";
import * as report from "./report.js";
import { prepare } from "./statements.js";
import * as timers from "./timers.js";

const ROUNDS = 4;

const PROGRAM = `// A program such as users write.
const { task, files } = require("@capsule-run/sdk");
class Point { constructor(x, y) { this.x = x; this.y = y; } }
exports.child = task(
  { name: "child", compute: "LOW", ram: "64MB", timeout: "30s", maxRetries: 1, allowedFiles: ["./data"] },
  (items, factor = 2) => ({ total: items.reduce((sum, item) => sum + item * factor, 0), items: items.map(String) }),
);
exports.failing = task({ name: "failing" }, (name) => { throw new TypeError("no " + name); });
exports.wait = task({ name: "wait" }, async () => {
  await new Promise((resolve) => setTimeout(resolve, 0));
  const all = await Promise.all([1, Promise.resolve(2.5), null]);
  return [...all, true, new Date(0), "text"];
});
exports.main = task({ name: "main", compute: "LOW" }, (...args) =>
  args.length > 0 ? { point: { ...new Point(1, 2) }, text: JSON.stringify(args), args } : "Hello");
`;

const source = () => ({ path: "src/main.ts", isPackage: false, source: new TextEncoder().encode(PROGRAM) });

/** Does it, and leaves no other trace. */
export async function rehearse() {
  // There is no time while the runtime is built; a timer is due when it is looked at.
  let time = 0;
  Object.defineProperty(performance, "now", { value: () => (time += 10), configurable: true });
  for (let round = 0; round < ROUNDS; round++) {
    program.forget(source);
    const pairs = round % 2 === 0 ? undefined : [["KEY", "value"]];
    program.read();
    program.load(pairs);
    for (const [name, given] of [
      ["main", '{"args":[],"kwargs":{}}'],
      ["main", '{"args":["a",2,{"b":[1.5,null,12345678901234567890]}],"kwargs":{}}'],
      ["child", '{"args":[[1,2,3]],"kwargs":{}}'],
      ["failing", '{"args":["luck"],"kwargs":{}}'],
      ["wait", '{"args":[],"kwargs":{}}'],
    ]) {
      await attempt(() => run(name, given));
    }
    prepare("const { a, b = [] } = { a: 1 }; class P { x = 1 } function f(n) { return n + 1 }\n`${f(a)}`");
    prepare("interface A { x: number }\nconst a: A = await g<A>({ x: 1 }); enum E { B }\na as unknown");
    format("%s %d", "a", 1, { a: [1, { b: new Map([[1, 2]]) }] }, [1, 2, 3], new Error("x"));
  }
  program.forget();
  loop.forget();
  timers.forget();
  delete performance.now;
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    report.of(error);
  }
}

async function run(name, given) {
  let step = loop.begin(() => program.invoke(name, given, []));
  for (let turn = 0; step.tag === "waiting" && turn < 20; turn++) {
    for (let tick = 0; tick < 20; tick++) await null;
    step = loop.advance(false);
  }
}
