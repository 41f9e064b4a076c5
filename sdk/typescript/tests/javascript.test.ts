/** TypeScript and JavaScript that is given as text. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  type Channel,
  run,
  runJavaScript,
  runPython,
  TaskError,
  WorkerError,
} from "../src/runner.js";
import { binary, cpuSeconds, until, workers } from "./setup.js";

const typescript = (source: string, options: Parameters<typeof run>[0] = {}) =>
  run({ source, onOutput: null, timeout: 60_000, ...options });

/** Says what it prints as bytes, and forges a frame of the worker's. */
const FORGED = '{"id":1,"envelope":{"success":true,"result":"forged","error":null,"execution":{}}}';

beforeAll(async () => {
  // The first use may compile the runtime.
  if (binary !== undefined) await typescript("", { timeout: 180_000 });
}, 180_000);

describe.skipIf(binary === undefined)("TypeScript", () => {
  test("tasks call tasks", async () => {
    const source = `
      import { task } from "@capsule-run/sdk";
      const square = task({ name: "square" }, (n: number): number => n * n);
      export const main = task({ name: "main" }, async (n: number) => {
        return [await square(n), await square.map([1, 2, 3]), await Promise.all([square(4), square(5)])];
      });`;
    expect((await typescript(source, { args: [3] })).result).toEqual([9, [1, 4, 9], [16, 25]]);
  });

  test("a failure is told with the user's line", async () => {
    const source =
      "interface A {}\n\nexport const main = (): never => {\n  throw new RangeError('x');\n};\n";
    const { error } = await typescript(source);
    expect(error).toMatchObject({ error_type: "RangeError", message: "x" });
    expect(error?.traceback).toContain("main.ts:4:9");
    const named = await typescript(source, { name: "agent/step.mts" });
    expect(named.error?.traceback).toContain("agent/step.mts:4:9");
  });

  test("what cannot be read is told with its lines", async () => {
    const { error } = await typescript("export const main = (x: ) => x;\n", { name: "step.ts" });
    expect(error).toMatchObject({ error_type: "CapsuleError", code: "E1013" });
    expect(error?.message).toMatch(/^step\.ts:1:25: .*\n> 1 \| export const main/);
  });

  test("the language is told, or the name's ending tells it", async () => {
    const javascript = "export const main = () => 'js';";
    const python = "def main(): return 'py'";
    for (const [options, value] of [
      [{ source: javascript }, "js"],
      [{ source: javascript, language: "javascript" }, "js"],
      [{ source: javascript, name: "x.mjs" }, "js"],
      [{ source: "exports.main = () => 'js';", name: "x.cjs" }, "js"],
      [{ source: python, language: "python" }, "py"],
      [{ source: python, name: "x.py" }, "py"],
    ] as const) {
      expect((await run({ ...options, onOutput: null })).result, JSON.stringify(options)).toBe(
        value,
      );
    }
  });

  test("a wrong language is told, with what to do", async () => {
    for (const [options, code, hint] of [
      [{ language: "ruby" }, "E1003", "python, typescript, javascript"],
      [{ language: "typescrpt" }, "E1003", 'did you mean "typescript"?'],
      [{ name: "main.rb" }, "E1003", "names end in .py, .ts or .js"],
      [{ language: "typescript", name: "main.py" }, "E1006", "leave one of the two out"],
      [{ language: "python", name: "main.ts" }, "E1006", "leave one of the two out"],
      [{ language: "typescript", name: "step 3" }, "E1003", "call it main.ts"],
    ] as const) {
      const refused = run({ source: "1", onOutput: null, ...(options as object) });
      const error = await refused.catch((error: unknown) => error);
      expect(error, JSON.stringify(options)).toBeInstanceOf(WorkerError);
      expect(error).toMatchObject({ code });
      expect((error as WorkerError).hint).toContain(hint);
    }
    for (const name of ["../main.ts", "/main.ts", "a/../b.ts", "node_modules/x.ts", "a\0.ts"]) {
      const { error } = await typescript("export const main = () => 1", { name });
      expect(error, name).toMatchObject({ code: "E1003" });
    }
    const asPython = await typescript("const x: number = 1;", { name: "main.py" });
    expect(asPython.error?.hint).toContain("looks like TypeScript");
    const asTypeScript = await typescript("def main():\n  return 1");
    expect(asTypeScript.error?.hint).toContain("looks like Python");
  });

  describe("in a folder", () => {
    const folder = mkdtempSync(join(tmpdir(), "capsule-text."));
    afterAll(() => rmSync(folder, { recursive: true }));
    const write = (path: string, text: string) => {
      mkdirSync(join(folder, path, ".."), { recursive: true });
      writeFileSync(join(folder, path), text);
    };
    write("config.json", '{"key": "the-secret"}');
    write("main.ts", "export const main = () => 'the-secret';");
    write(
      "package.json",
      '{"name": "own", "exports": {"./*": "./*"}, "imports": {"#c": "./config.json"}}',
    );
    write("tsconfig.json", '{"compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["./*"]}}}');
    write("node_modules/double/index.js", "module.exports = (n) => 2 * n;");
    write("node_modules/evil/index.js", 'module.exports = require("../../config.json");');

    test("its packages can be imported", async () => {
      const source = 'import double from "double";\nexport const main = (n: number) => double(n);';
      expect((await typescript(source, { cwd: folder, args: [4] })).result).toBe(8);
      const other = await typescript(source, { cwd: tmpdir() });
      expect(other.error).toMatchObject({ code: "E1013", hint: "npm install double" });
    });

    test("its files cannot be read", async () => {
      for (const specifier of [
        "./config.json",
        "./main",
        "config.json",
        "#c",
        "@/config.json",
        "own/config.json",
        "evil",
        "double/../../config.json",
        join(folder, "config.json"),
      ]) {
        const source = `import * as x from "${specifier}";\nexport const main = () => x;`;
        const answer = await typescript(source, { cwd: folder });
        expect(answer.error, specifier).toMatchObject({ code: "E1013" });
        expect(JSON.stringify(answer)).not.toContain("the-secret");
      }
      const source =
        'import { readFileSync } from "fs";\nexport const main = () => readFileSync("config.json", "utf8");';
      expect((await typescript(source, { cwd: folder })).success).toBe(false);
    });
  });

  test("values that would change something are values", async () => {
    const hostile = '{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 2}}}';
    const source = `export const main = () => JSON.parse('${hostile}');`;
    const { result } = await typescript(source);
    expect(Object.hasOwn(result as object, "__proto__")).toBe(true);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    // The other way, too.
    const echo =
      "export const main = (x: unknown) => [x, ({} as { polluted?: number }).polluted ?? null];";
    const args = [JSON.parse(hostile)];
    const given = (await typescript(echo, { args })).result as unknown[];
    expect(JSON.stringify(given[0])).toBe(JSON.stringify(JSON.parse(hostile)));
    expect(given[1]).toBeNull();
  });

  test("frames that a guest prints are text", async () => {
    const source = `export const main = () => {
      const data = Buffer.from(${JSON.stringify(FORGED)});
      const head = Buffer.alloc(4);
      head.writeUInt32BE(data.length);
      for (let n = 0; n < 3; n++) process.stdout.write(Buffer.concat([head, data]));
      return "true";
    };`;
    const heard: Uint8Array[] = [];
    const result = await typescript(source, { onOutput: (_, data) => heard.push(data) });
    expect(result.result).toBe("true");
    expect(Buffer.concat(heard).length).toBe(3 * (4 + FORGED.length));
  });

  test("results that play tricks are results or errors", async () => {
    for (const value of [
      "({ get x() { throw new RangeError('mine') } })",
      "new Proxy({}, { ownKeys() { throw new RangeError('mine') } })",
      "new Proxy([], { get: (_, key) => key === 'length' ? 2 ** 32 : 1 })",
      "({ toJSON: () => '\"}],forged' })",
      "({ then(resolve: (x: unknown) => void) { resolve({ then: 1 }) } })",
      "'x'.repeat(70 * 1024 * 1024)",
      "'\\ud800'",
      "[].concat(Array(1e6).fill('é'.repeat(100)))",
    ]) {
      const answer = await typescript(`export const main = () => ${value} as unknown;`);
      expect(answer.success || answer.error.code.startsWith("E"), value).toBe(true);
    }
    expect((await typescript("export const main = () => 1;")).result).toBe(1);
  });

  test("no run sees what another one left", async () => {
    const spoil = `Object.prototype.polluted = "x"; globalThis.leaked = "x"; JSON.stringify = () => "x";
      Array.prototype.map = () => ["x"]; export const main = () => 1;`;
    const clean = `export const main = () =>
      [({}).polluted ?? null, typeof leaked, JSON.stringify([1]), [1, 2].map(String)];`;
    const rounds = Array.from({ length: 40 }, async () => {
      await typescript(spoil, { language: "javascript" });
      expect((await typescript(clean, { language: "javascript" })).result).toEqual([
        null,
        "undefined",
        "[1]",
        ["1", "2"],
      ]);
    });
    await Promise.all(rounds);
  });
});

describe.skipIf(binary === undefined)("runJavaScript", () => {
  test("gives what was printed and the last value", async () => {
    const answer = await runJavaScript("console.log('Hello'); 5 + 3");
    expect(`${answer}`).toBe("Hello\n8");
    expect(answer).toMatchObject({ stdout: "Hello\n", stderr: "", value: 8 });
    await expect(runJavaScript("null.x")).rejects.toThrow(TaskError);
    await expect(runJavaScript("while (true);", { timeout: 300 })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    expect((await runPython("print('é'); 2 ** 3")).toString()).toBe("é\n8");
  });

  test("takes TypeScript, and waits", async () => {
    const code =
      "interface A { x: number }\nconst a: A = { x: await Promise.resolve(5) };\nenum E { B = 3 }\na.x + E.B";
    expect((await runJavaScript(code)).value).toBe(8);
    expect((await runJavaScript("(async (): Promise<number> => 7)()")).value).toBe(7);
    expect((await runJavaScript("new Map([[1, 2]])")).value).toBe("Map(1) { 1 => 2 }");
  });

  test("a failure has a place", async () => {
    const error = await runJavaScript("const x: number = 1;\nnull.x", { name: "step 4" }).catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ errorType: "TypeError", code: "E3008" });
    expect((error as TaskError).traceback).toContain("at step 4:2:1");
    await expect(runJavaScript("let a = 1;\nlet b = ;")).rejects.toThrow("line 2, column 9");
  });

  test("has no right at all", async () => {
    process.env["CAPSULE_TEST"] = "secret";
    for (const code of [
      "require('fs').readFileSync('/etc/passwd', 'utf8')",
      "require('child_process')",
      "process.env.CAPSULE_TEST.length",
      "await fetch('http://127.0.0.1:1/')",
      "await import('/etc/passwd')",
      "require('zod')",
    ]) {
      const error = await runJavaScript(code).catch((error: unknown) => error);
      expect(error, code).toBeInstanceOf(Error);
    }
    delete process.env["CAPSULE_TEST"];
  });

  test.each([
    ["a loop", "console.log('on'); while (true);"],
    ["microtasks", "console.log('on'); (function again() { Promise.resolve().then(again) })()"],
    ["timers", "console.log('on'); setInterval(() => {}, 0); await new Promise(() => {})"],
    ["a regular expression", "console.log('on'); /(a+)+$/.test('a'.repeat(60) + 'b')"],
  ])("giving up ends the guest: %s", async (_, code) => {
    const [worker] = workers();
    const given = new AbortController();
    const heard: [Channel, Uint8Array][] = [];
    const call = runJavaScript(code, {
      signal: given.signal,
      onOutput: (...piece) => {
        heard.push(piece);
        setTimeout(() => given.abort(new Error("enough")), 50);
      },
    });
    // Its output comes when it returns to the host, which a loop does not do.
    setTimeout(() => given.abort(new Error("enough")), 1000);
    await expect(call).rejects.toThrow("enough");
    await until("idle", () => {
      const before = cpuSeconds(worker as number);
      spawnSync("sleep", ["0.3"]);
      return cpuSeconds(worker as number) - before < 0.1;
    });
    expect((await runJavaScript("1 + 1")).value).toBe(2);
  });

  test("giving up while a program is bundled holds nobody up", async () => {
    const source = `export const main = () => ${"[".repeat(300)}${"1,".repeat(3_000_000)}${"]".repeat(300)};`;
    const call = typescript(source, { signal: AbortSignal.timeout(50) });
    await expect(call).rejects.toMatchObject({ name: "TimeoutError" });
    expect((await typescript("export const main = () => 2;")).result).toBe(2);
  });
});
