/** Sessions, for real. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { runJavaScript, Session, SessionLost, TaskError } from "../src/runner.js";
import { binary, cpuSeconds, until, workers } from "./setup.js";

const folder = mkdtempSync(join(tmpdir(), "capsule-session."));
afterAll(() => rmSync(folder, { recursive: true }));

/** Uses a session, and closes it. */
async function within<T>(
  work: (session: Session) => Promise<T>,
  session = new Session(),
): Promise<T> {
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

describe.skipIf(binary === undefined)("a session", () => {
  beforeAll(async () => {
    await runJavaScript("1");
  }, 180_000);

  test("keeps names from one piece of code to the next", () =>
    within(async (session) => {
      await session.run(
        "let x = 1; const y = 2; class P { z = 3 } function f(n: number) { return 2 * n }",
      );
      expect((await session.run("x + y + new P().z + f(x)")).value).toBe(8);
      await session.run("const { a, b: [c] } = await Promise.resolve({ a: 7, b: [8] });");
      await session.run("import { join } from 'node:path'; x++");
      expect((await session.run("[a, c, x, join('a', 'b')]")).value).toEqual([7, 8, 2, "a/b"]);
      expect(`${await session.run("console.log('x is', x); x")}`).toBe("x is 2\n2");
    }));

  test("lives on when code fails", () =>
    within(async (session) => {
      await session.run("let x = 1");
      for (const code of [
        "throw new Error('no')",
        "x +",
        "nothing",
        "await new Promise(() => {})",
      ]) {
        await expect(session.run(code), code).rejects.toThrow(TaskError);
      }
      expect((await session.run("x")).value).toBe(1);
    }));

  test("sees nothing of another one", async () => {
    const spoil =
      "globalThis.secret = 'x'; Object.prototype.polluted = 'x'; var leaked = 1; JSON.parse = null";
    const clean = "[typeof secret, ({}).polluted ?? null, typeof leaked, typeof JSON.parse]";
    await within(async (one) => {
      await one.run(spoil);
      await within(async (other) => {
        expect((await other.run(clean)).value).toEqual([
          "undefined",
          null,
          "undefined",
          "function",
        ]);
      });
      expect((await one.run("typeof secret")).value).toBe("string");
    });
    // Its memory is used again.
    for (let round = 0; round < 20; round++) {
      await within((session) => session.run(spoil));
      const { value } = await within((session) => session.run(clean));
      expect(value).toEqual(["undefined", null, "undefined", "function"]);
    }
  });

  test("runs what comes in order", () =>
    within(async (session) => {
      await session.run("let list = []");
      const calls = Array.from({ length: 20 }, (_, n) => session.run(`list.push(${n}), 0`));
      await Promise.all(calls);
      const expected = Array.from({ length: 20 }, (_, n) => n);
      expect((await session.run("list")).value).toEqual(expected);
    }));

  test("is lost when code is given up, says so, and begins anew", () =>
    within(async (session) => {
      const [worker] = workers();
      await session.run("let x = 1");
      for (const code of ["while (true);", "(function f() { queueMicrotask(f) })()"]) {
        const signal = AbortSignal.timeout(200);
        await expect(session.run(code, { signal })).rejects.toMatchObject({ name: "TimeoutError" });
        await until("idle", () => {
          const before = cpuSeconds(worker as number);
          spawnSync("sleep", ["0.3"]);
          return cpuSeconds(worker as number) - before < 0.1;
        });
        await expect(session.run("x")).rejects.toThrow(SessionLost);
        await session.reset();
        expect((await session.run("typeof x")).value).toBe("undefined");
      }
    }));

  test.each([
    [{ timeout: "300ms" }, "while (true);", "Timeout"],
    [{ timeout: 300 }, "setInterval(() => {}, 1); await new Promise(() => {})", "Timeout"],
    [{ compute: 50_000_000 }, "while (true);", "FuelExhausted"],
  ] as const)("keeps to its limits: %j", (options, code, errorType) =>
    within(async (session) => {
      // That its files come first takes nothing of that away.
      writeFileSync(join(folder, "a.txt"), "a");
      await session.importFile(join(folder, "a.txt"), "a.txt");
      await expect(session.run(code)).rejects.toMatchObject({ errorType });
      await expect(session.run("1")).rejects.toThrow(SessionLost);
    }, new Session("javascript", options)),
  );

  test("has memory to an end", () =>
    within(
      async (session) => {
        const code = "const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1))";
        const error = await session.run(code).catch((error: unknown) => error);
        expect(error).toMatchObject({ errorType: "MemoryError" });
      },
      new Session("javascript", { ram: "64MiB" }),
    ));

  test("has a workspace", () =>
    within(
      async (session) => {
        writeFileSync(join(folder, "in.txt"), "from outside");
        expect(await session.importFile("in.txt", "notes/in.txt")).toBe("/workspace/notes/in.txt");
        const code = `import { readFileSync, writeFileSync } from "node:fs";
          writeFileSync("workspace/out.txt", readFileSync("/workspace/notes/in.txt", "utf8").toUpperCase());`;
        await session.run(code);
        expect(await session.exportFile("out.txt", "out.txt")).toBe(join(folder, "out.txt"));
        expect(readFileSync(join(folder, "out.txt"), "utf8")).toBe("FROM OUTSIDE");
        await session.deleteFile("notes");
        expect((await session.run("require('fs').readdirSync('workspace')")).value).toEqual([
          "out.txt",
        ]);
        await expect(session.importFile("in.txt", "../out.txt")).rejects.toMatchObject({
          code: "E5003",
        });
        await session
          .run("require('fs').symlinkSync('/etc/passwd', 'workspace/link')")
          .catch(() => {});
        await expect(session.exportFile("link", "stolen.txt")).rejects.toThrow("link");
        expect(existsSync(join(folder, "stolen.txt"))).toBe(false);
      },
      new Session("javascript", { cwd: folder }),
    ));

  test("has the variables and hosts that it is given", async () => {
    process.env["CAPSULE_TEST"] = "é";
    const code = "[process.env.CAPSULE_TEST ?? null, Object.keys(process.env).length]";
    const options = { envVariables: ["CAPSULE_TEST"] };
    const given = await within((session) => session.run(code), new Session("javascript", options));
    expect(given.value).toEqual(["é", 1]);
    expect((await within((session) => session.run(code))).value).toEqual([null, 0]);
    delete process.env["CAPSULE_TEST"];
  });

  test("can be one of Python", () =>
    within(async (session) => {
      await session.run("x = 2");
      expect((await session.run("x ** 10")).value).toBe(1024);
    }, new Session("python")));

  test("that is closed says so", async () => {
    const session = new Session();
    await session.run("1");
    await session.close();
    await session.close();
    await expect(session.run("1")).rejects.toThrow("closed");
    expect(() => new Session("ruby" as never)).toThrow('"javascript" and "python"');
  });
});
