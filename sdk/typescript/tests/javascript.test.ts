/** TypeScript and JavaScript that is given as text, once a worker knows its language. */

import { describe, expect, test } from "vitest";

import { run, runJavaScript, TaskError } from "../src/runner.js";
import { hasJavaScript } from "./setup.js";

const isThere = await hasJavaScript();
if (!isThere) process.stderr.write("skipped: a worker takes no TypeScript as text yet\n");

describe.skipIf(!isThere)("TypeScript", () => {
  const typescript = (source: string, args: unknown[] = []) =>
    run({ source, args, onOutput: null, timeout: 60_000 });

  test("tasks call tasks", async () => {
    const source = `
      import { task } from "@capsule-run/sdk";
      const square = task({ name: "square" }, (n: number): number => n * n);
      export const main = task({ name: "main" }, async (n: number) => {
        return [await square(n), await square.map([1, 2, 3]), await Promise.all([square(4), square(5)])];
      });`;
    expect((await typescript(source, [3])).result).toEqual([9, [1, 4, 9], [16, 25]]);
  });

  test("a failure is told with the user's line", async () => {
    const source =
      "interface A {}\n\nexport const main = (): never => {\n  throw new RangeError('x');\n};\n";
    const { error } = await typescript(source);
    expect(error).toMatchObject({ error_type: "RangeError", message: "x" });
    expect(error?.traceback).toContain("main.ts:4:9");
  });

  test("values that would change something are values", async () => {
    const source = 'export const main = () => JSON.parse(\'{"__proto__": {"polluted": 1}}\');';
    await typescript(source);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe.skipIf(!isThere)("runJavaScript", () => {
  test("gives what was printed and the last value", async () => {
    const answer = await runJavaScript("console.log('Hello'); 5 + 3");
    expect(`${answer}`).toBe("Hello\n8");
    expect(answer).toMatchObject({ stdout: "Hello\n", stderr: "", value: 8 });
    await expect(runJavaScript("null.x")).rejects.toThrow(TaskError);
    await expect(runJavaScript("while (true);", { timeout: 300 })).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });
});
