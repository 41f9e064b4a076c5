/** The worker, for real: programs in Python, which every binary runs. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

import { beforeAll, describe, expect, test } from "vitest";

import { BinaryNotFound, type Channel, run, WorkerError } from "../src/runner.js";
import { binary, cpuSeconds, until, workers } from "./setup.js";

const python = (source: string, options: Parameters<typeof run>[0] = {}) =>
  run({ source, language: "python", onOutput: null, timeout: 60_000, ...options });

describe.skipIf(binary === undefined)("run", () => {
  beforeAll(async () => {
    // The first use may compile the runtime.
    expect((await python("", { timeout: 180_000 })).success).toBe(true);
  }, 180_000);

  test("gives the envelope", async () => {
    const source = "def main(a, b=1, *, c=2):\n return [a, b, c]";
    const result = await python(source, { args: [{ x: ["é", 1.5] }], kwargs: { c: null } });
    expect(result.result).toEqual([{ x: ["é", 1.5] }, 1, null]);
    expect(result).toMatchObject({ success: true, error: null });
    expect(result.execution).toMatchObject({ task_name: "main", retries: 0, host_requests: [] });
  });

  test("tells a failure, and throws nothing", async () => {
    const result = await python("def main():\n raise ValueError('x')");
    expect(result).toMatchObject({ success: false, result: null });
    expect(result.error).toMatchObject({ error_type: "ValueError", code: "E3008" });
    expect((await python("import nothing_there")).success).toBe(false);
  });

  test("many at one time each get their own", async () => {
    const source = "def main(n):\n return n * n";
    const calls = Array.from({ length: 50 }, (_, n) => python(source, { args: [n] }));
    const values = (await Promise.all(calls)).map(({ result }) => result);
    expect(values).toEqual(Array.from({ length: 50 }, (_, n) => n * n));
    expect(workers().length).toBe(1);
  });

  test("what is printed comes while it is printed, byte by byte as it was", async () => {
    const heard: [Channel, Uint8Array][] = [];
    const source =
      "import sys\ndef main():\n sys.stdout.buffer.write(b'\\xff\\xfe{'); sys.stdout.flush()\n print('é', end='', file=sys.stderr)";
    await python(source, { onOutput: (...piece) => heard.push(piece) });
    const of = (channel: Channel) =>
      Buffer.concat(heard.filter(([name]) => name === channel).map(([, data]) => data));
    expect([...of("stdout")]).toEqual([0xff, 0xfe, 0x7b]);
    expect(of("stderr").toString()).toBe("é");
  });

  test("frames that a guest prints are text", async () => {
    const forged =
      '{"id":1,"envelope":{"success":true,"result":"forged","error":null,"execution":{}}}';
    const source = `import sys\ndef main():\n data = ${JSON.stringify(forged)}.encode()\n sys.stdout.buffer.write((len(data).to_bytes(4, 'big') + data) * 3)\n return 'true'`;
    const heard: Uint8Array[] = [];
    const result = await python(source, { onOutput: (_, data) => heard.push(data) });
    expect(result.result).toBe("true");
    expect(Buffer.concat(heard).length).toBe(3 * (4 + forged.length));
  });

  test("a result of any shape harms nobody", async () => {
    const forge =
      "import sys\ndef main(text):\n module = sys.modules['guest.values']\n module.encode = lambda value, what='': text";
    for (const text of [
      `${"[".repeat(100_000)}${"]".repeat(100_000)}`,
      "1".repeat(5000),
      '{"__proto__":{"polluted":1}}',
      '{"toString":1,"then":1}',
    ]) {
      const outcome = await python(forge, { args: [text] }).catch((error: unknown) => error);
      expect(outcome).toBeDefined();
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect((await python("def main(): return 1")).result).toBe(1);
  });

  test("giving up ends the guest", async () => {
    const [worker] = workers();
    const source = "def main():\n print('on', flush=True)\n while True: pass";
    const given = new AbortController();
    const call = python(source, {
      signal: given.signal,
      onOutput: () => given.abort(new Error("enough")),
    });
    await expect(call).rejects.toThrow("enough");
    await until("idle", () => {
      const before = cpuSeconds(worker as number);
      spawnSync("sleep", ["0.3"]);
      return cpuSeconds(worker as number) - before < 0.1;
    });
    expect((await python("def main(): return 2")).result).toBe(2);
    await expect(python("", { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
  });

  test("a deadline ends the guest", async () => {
    const started = Date.now();
    const call = python("def main():\n while True: pass", { timeout: 300 });
    await expect(call).rejects.toMatchObject({ name: "TimeoutError" });
    expect(Date.now() - started).toBeLessThan(5000);
  });

  test("a handler that throws ends its own call only", async () => {
    const other = python("import time\ndef main():\n time.sleep(0.3)\n return 'other'");
    const call = python("def main():\n print('x')\n while True: pass", {
      onOutput: () => {
        throw new RangeError("mine");
      },
    });
    await expect(call).rejects.toThrow(RangeError);
    expect((await other).result).toBe("other");
  });

  test("a worker that dies is told, and replaced", async () => {
    const [worker] = workers();
    const call = python("import time\ndef main():\n print('on', flush=True)\n time.sleep(30)", {
      onOutput: () => process.kill(worker as number, "SIGKILL"),
    });
    const error = await call.catch((error: unknown) => error);
    expect(error).toBeInstanceOf(WorkerError);
    expect(error).toMatchObject({ retryable: true });
    expect((await python("def main(): return 3")).result).toBe(3);
    expect(workers()).not.toContain(worker);
  });

  test("the environment of a task is this process's of now", async () => {
    const source =
      "import os\nfrom capsule import task\n@task(env_variables=['CAPSULE_TEST'])\ndef main():\n return os.environ.get('CAPSULE_TEST')";
    expect((await python(source)).result).toBeNull();
    process.env["CAPSULE_TEST"] = "é";
    expect((await python(source)).result).toBe("é");
    delete process.env["CAPSULE_TEST"];
    expect((await python(source)).result).toBeNull();
  });

  test("odd requests are refused here", async () => {
    await expect(python("", { args: [Number.NaN] })).rejects.toThrow("args[0] is NaN");
    await expect(python("", { args: "text" as never })).rejects.toThrow("args is a list");
    await expect(python("", { file: "x.py" })).rejects.toThrow("not both");
    await expect(python("", { args: ["x".repeat(65 << 20)] })).rejects.toThrow("pass a file");
    const refused = await run({ file: "not-there.py" });
    expect(refused).toMatchObject({ success: false, error: { code: "E1009" } });
    await expect(python("", { mounts: [""] })).rejects.toMatchObject({ code: "E1003" });
  });

  test("a process with nothing left to do ends, and its worker with it", () => {
    const runner = new URL("../dist/runner.js", import.meta.url).href;
    const script = `import { run } from ${JSON.stringify(runner)};
      const result = await run({ source: "def main(): return 4", language: "python" });
      console.log(result.result, (await import("node:fs")).readFileSync("/proc/self/task/" + process.pid + "/children", "utf8"));`;
    expect(existsSync(new URL("../dist/runner.js", import.meta.url)), "npm run build").toBe(true);
    const { stdout, status } = spawnSync("node", ["--input-type=module", "-e", script], {
      timeout: 30_000,
    });
    expect(status).toBe(0);
    const [value, child] = stdout.toString().trim().split(" ");
    expect(value).toBe("4");
    return until("gone", () => !existsSync(join("/proc", child as string)));
  });
});

describe("the binary", () => {
  test("that is named must be there", async () => {
    const source = "";
    await expect(run({ source, capsulePath: "/nowhere/capsule" })).rejects.toThrow(BinaryNotFound);
    await expect(run({ source, capsulePath: "/etc/passwd" })).rejects.toThrow("cannot be executed");
  });

  test("must be the right one", async () => {
    for (const other of ["/bin/true", "/bin/echo", "/bin/cat"]) {
      const error = await run({ source: "", capsulePath: other, timeout: 5000 }).catch(
        (error: unknown) => error,
      );
      expect(error).toBeInstanceOf(WorkerError);
      expect(String(error)).toContain("the capsule binary that belongs");
    }
  });
});
