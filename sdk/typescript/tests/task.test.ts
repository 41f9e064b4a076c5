/** Tasks outside of a sandbox, where a test calls them. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";

import { CapsuleError, files, type Submission, TaskError, task, taskOf } from "../src/index.js";

const later = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

describe("types", () => {
  test("arguments and result are those of the function", () => {
    const add = task(
      { name: "add" },
      (a: number, b: number = 2, ...rest: string[]) => a + b + rest.length,
    );
    expectTypeOf(add).parameters.toEqualTypeOf<[a: number, b?: number, ...rest: string[]]>();
    expectTypeOf(add).returns.toEqualTypeOf<Submission<number>>();
    expectTypeOf(add.submit).returns.toEqualTypeOf<Submission<number>>();
    expectTypeOf(add.map).returns.toEqualTypeOf<Promise<number[]>>();
    // @ts-expect-error: text is no number
    expectTypeOf(() => add("1")).toBeFunction();
  });

  test("a promise is awaited once, for async functions too", () => {
    const load = task({ name: "load" }, async (path: string) => ({ path, size: 1 }));
    expectTypeOf(load).returns.toEqualTypeOf<Submission<{ path: string; size: number }>>();
    expectTypeOf<Awaited<ReturnType<typeof load>>>().toEqualTypeOf<{
      path: string;
      size: number;
    }>();
  });

  test("options are known", () => {
    // @ts-expect-error: it is called ram
    expect(() => task({ name: "x", memory: "1GB" }, () => 1)).toThrow('no option "memory"');
    // @ts-expect-error: modes are known
    task({ name: "y", allowedFiles: [{ path: "a", mode: "x" }] }, () => 1);
    task({ name: "z", compute: "HIGH", ram: 1, timeout: "1s", allowedFiles: ["./a"] }, () => 1);
  });
});

describe("tasks of other programs", () => {
  const page = taskOf<[title: string], { html: string }>("render", "page");

  test("types are what is said", () => {
    expectTypeOf(page).parameters.toEqualTypeOf<[title: string]>();
    expectTypeOf(page).returns.toEqualTypeOf<Submission<{ html: string }>>();
    expectTypeOf(page.map).returns.toEqualTypeOf<Promise<{ html: string }[]>>();
    expectTypeOf(taskOf("a", "b")).returns.toEqualTypeOf<Submission<unknown>>();
    // @ts-expect-error: a number is no title
    expectTypeOf(() => page(1)).toBeFunction();
  });

  test("outside of a sandbox they say how to run them", async () => {
    expect(page.name).toBe("render:page");
    const calls = [page("x"), page.submit("x"), page.map(["x"]), page.with({}).run("x")];
    for (const end of await Promise.allSettled(calls)) {
      expect(end.status).toBe("rejected");
      const { reason } = end as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(CapsuleError);
      expect(reason.message).toContain('"render:page"');
      expect(reason.message).toContain("capsule run FILE");
    }
    const caller = task({ name: "caller" }, async () => page("x"));
    await expect(caller()).rejects.not.toBeInstanceOf(TaskError);
  });

  test("their names are checked", () => {
    for (const program of ["", "a:b", "..", "/etc", "render.ts", "1a", "-a", "ä", "a\n"]) {
      expect(() => taskOf(program, "page")).toThrow("no name of a program");
    }
    expect(() => taskOf("render", "")).toThrow("no name of a task");
    // @ts-expect-error: names are text
    expect(() => taskOf("render", 1)).toThrow(TypeError);
  });
});

describe("calls", () => {
  const square = task({ name: "square" }, (n: number) => n * n);

  test("a call calls the function with exactly its arguments", async () => {
    const seen = task({ name: "seen" }, (...args: unknown[]) => args);
    expect(await seen(1, undefined, "x")).toEqual([1, undefined, "x"]);
    expect(await seen()).toEqual([]);
    expect(await square.submit(3)).toBe(9);
    expect(await square.map([1, 2, 3])).toEqual([1, 4, 9]);
    expect(await square.map(new Set([4]))).toEqual([16]);
    expect(await square.with({}).run(5)).toBe(25);
  });

  test("names are the option's, or the function's", () => {
    expect(square.name).toBe("square");
    expect(task(function named() {}).name).toBe("named");
    expect(() => task(() => 1)).toThrow("needs the option name");
    // @ts-expect-error: no function
    expect(() => task({ name: "x" })).toThrow("options and a function");
  });

  test("it begins at once, and several run side by side", async () => {
    const log: string[] = [];
    const work = task({ name: "work" }, async (name: string) => {
      log.push(`begin ${name}`);
      await later(5);
      log.push(`end ${name}`);
      return name;
    });
    const first = work("a");
    expect(log).toEqual(["begin a"]);
    expect(await Promise.all([first, work("b")])).toEqual(["a", "b"]);
    expect(log).toEqual(["begin a", "begin b", "end a", "end b"]);
  });

  test("a test sees the function's own error, a task that of a task", async () => {
    class Odd extends RangeError {
      override name = "Odd";
    }
    const fails = task({ name: "fails" }, (n: number) => {
      throw new Odd(`no ${n}`);
    });
    await expect(fails(1)).rejects.toThrow(Odd);
    const outer = task({ name: "outer" }, async () => {
      try {
        return await fails(2);
      } catch (error) {
        return error;
      }
    });
    const error = await outer();
    expect(error).toBeInstanceOf(TaskError);
    expect(error).toBeInstanceOf(CapsuleError);
    expect(error).toMatchObject({
      message: 'task "fails" failed: Odd: no 2',
      task: "fails",
      errorType: "Odd",
      code: "E3008",
      retryable: true,
    });
  });

  test("the first failure of a map is thrown after all have ended", async () => {
    let ended = 0;
    const work = task({ name: "work" }, async (n: number) => {
      await later(n);
      ended += 1;
      if (n % 2 === 1) throw new Error(`${n}`);
    });
    await expect(work.map([4, 3, 1])).rejects.toThrow("3");
    expect(ended).toBe(3);
  });

  test("a call can be given up", async () => {
    const forever = task({ name: "forever" }, () => new Promise<never>(() => {}));
    const call = forever();
    expect(call.cancel()).toBe(true);
    expect(call.cancel()).toBe(false);
    await expect(call).rejects.toMatchObject({ errorType: "Cancelled" });
    const given = new AbortController();
    const calls = [forever.with({ signal: given.signal }).run(), forever.map([], {})];
    given.abort(new Error("enough"));
    await expect(calls[0]).rejects.toThrow("enough");
    await expect(calls[1]).resolves.toEqual([]);
    expect(() => forever.with({ signal: given.signal }).run()).toThrow("enough");
    const done = square(2);
    await done;
    expect(done.cancel()).toBe(false);
  });
});

describe("files", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "capsule-files-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("are read and written", async () => {
    const path = join(folder, "a.txt");
    expect(await files.exists(path)).toBe(false);
    await files.writeText(path, "é");
    expect(await files.readText(path)).toBe("é");
    expect(await files.readBytes(path)).toEqual(new Uint8Array([0xc3, 0xa9]));
    await files.writeBytes(join(folder, "b"), new Uint16Array([1, 2, 3]).subarray(1));
    expect([...(await files.readBytes(join(folder, "b")))]).toEqual([2, 0, 3, 0]);
    await files.writeBytes(join(folder, "b"), new Uint8Array([7]).buffer);
    expect([...(await files.readBytes(join(folder, "b")))]).toEqual([7]);
    expect(await files.list(folder)).toEqual(["a.txt", "b"]);
    expect(await files.exists(folder)).toBe(true);
    await expect(files.readText(join(folder, "c"))).rejects.toThrow("ENOENT");
    // @ts-expect-error: bytes have a function of their own
    await expect(files.writeText(path, new Uint8Array())).rejects.toThrow("takes text");
  });
});
