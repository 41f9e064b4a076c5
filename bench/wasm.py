"""What tasks in WebAssembly cost: start, edits, packages, sub-tasks, CPU work, side by side.

usage: wasm.py CAPSULE [--peer VENV] [--rounds N] [--edits N] [--only PART]... [--json FILE]

Contenders of one table take turns in every round, so that a busy machine is busy for
all of them; compare ratios of one run, not times of two. --peer names a virtual
environment with another runtime of the same interface (a command `capsule` that runs
a file with --json); what it needs to build programs must be in there too. It is measured
in Python only.

Every run's answer is checked: a run that fails ends the benchmark.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PYTHON = "/usr/bin/python3"

HELLO = """from capsule import task

@task(name="main", compute="LOW", ram="64MB")
def main() -> str:
    return "Hello from Capsule!"
"""

HELLO_TYPESCRIPT = """import { task } from "@capsule-run/sdk";

export const main = task({ name: "main", compute: "LOW", ram: "64MB" }, (): string => {
  return "Hello from Capsule!";
});
"""

# A project that has these from npm, as a program of tasks, and as one of Node.
PACKAGES = {"date-fns": "4.4.0", "lodash-es": "4.18.1", "zod": "4.6.7"}
REPORT = """import { addDays, format } from "date-fns";
import { groupBy, sortBy } from "lodash-es";
import { z } from "zod";

const Item = z.object({ name: z.string(), day: z.number() });

export function report() {
  const items = [{ name: "b", day: 2 }, { name: "a", day: 1 }].map((item) => Item.parse(item));
  const date = (day) => format(addDays(new Date(2024, 1, 27), day), "yyyy-MM-dd");
  const dated = items.map(({ name, day }) => ({ name, date: date(day) }));
  return [sortBy(dated, "date").map((item) => item.date), Object.keys(groupBy(dated, "name"))];
}
"""
REPORT_TASK = """import { task } from "@capsule-run/sdk";

import { report } from "./report.mjs";

export const main = task({ name: "main", compute: "LOW" }, (): unknown => report());
"""
REPORT_NODE = 'import { report } from "./report.mjs";\nconsole.log(JSON.stringify({ result: report() }));\n'
REPORTED = [["2024-02-28", "2024-02-29"], ["b", "a"]]

# So many sub-tasks at once, each in a sandbox of its own.
FRESH = 1000
FRESH_PYTHON = """from capsule import task

@task(compute="LOW", ram="64MB")
def one(n: int) -> int:
    return n

@task(name="main", compute="HIGH", timeout="5m")
def main(count: str) -> int:
    return sum(one.map(range(int(count))))
"""
FRESH_TYPESCRIPT = """import { task } from "@capsule-run/sdk";

const one = task({ name: "one", compute: "LOW", ram: "64MB" }, (n: number): number => n);

export const main = task({ name: "main", compute: "HIGH", timeout: "5m" }, async (count: string) => {
  const values = await one.map(Array.from({ length: Number(count) }, (_, n) => n));
  return values.reduce((sum, n) => sum + n, 0);
});
"""

CALLS = """import time

from capsule import task

@task(name="child", compute="HIGH", ram="64MB", timeout="1m")
def child(seconds: float) -> float:
    if seconds:
        time.sleep(seconds)
    return seconds

def value(answer):
    # Some runtimes answer with an envelope.
    return answer["result"] if isinstance(answer, dict) else answer

@task(name="main", compute="HIGH", ram="64MB", timeout="5m")
def main() -> int:
    return {body}
"""
IN_TURN = "sum(value(child({seconds})) == {seconds} for _ in range({count}))"
AT_ONCE = "len(child.map([{seconds}] * {count}))"

# Runs as a program of tasks (its function `main`), and natively by `import`.
CPU = '''import hashlib
import json
import random
import re


def fib(n=24):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def loop():
    total = 0
    for i in range(1_000_000):
        total += i & 7
    return total


def texts():
    counts = {}
    for i in range(200_000):
        key = str(i % 5000)
        counts[key] = counts.get(key, 0) + 1
    return len(counts)


def documents():
    rows = [{"id": i, "name": f"row {i}", "tags": ["a", "b"], "x": i / 7} for i in range(10_000)]
    return len(json.loads(json.dumps(rows)))


def sort():
    numbers = random.Random(1)
    return sorted(numbers.random() for _ in range(150_000))[0] >= 0


def digest():
    return hashlib.sha256(bytes(5_000_000)).hexdigest()[:8]


def pattern():
    text = "user@example.org, nobody at nowhere; " * 3000
    return len(re.findall(r"[\\w.]+@[\\w.]+\\.\\w+", text))


WORK = {function.__name__: function for function in (fib, loop, texts, documents, sort, digest, pattern)}


def main(name="", times="0"):
    for _ in range(int(times)):
        WORK[name]()
    return list(WORK)
'''


#: How often a process repeats its CPU work, so that its start is the smaller part.
TIMES = 5


# Runs through a worker, so many at a time; the peer starts a process for each.
AT_A_TIME = 16
RUNS = 1000
PEER_RUNS = 100
PEER_RUNNER = """import asyncio
import sys
import time

from capsule import run

binary, file, count, lanes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def one():
    answer = await run(file=file, capsule_path=binary)
    assert answer["success"], answer

async def lane():
    for _ in range(count // lanes):
        await one()

async def main():
    await one()
    began = time.perf_counter()
    await asyncio.gather(*[lane() for _ in range(lanes)])
    print(count // lanes * lanes / (time.perf_counter() - began))

asyncio.run(main())
"""

# So many sandboxes that live at one time, and how long.
LIVE = (2, 32)
LIVE_SECONDS = 1.5

PARTS = ["starts", "typescript", "calls", "fresh", "worker", "memory", "processor"]


class Way:
    """One way to run something, and what it took."""

    def __init__(self, name, command, wanted=None, before=None, environment=None, folder="/"):
        self.name = name
        self.command = command
        self.wanted = wanted
        self.before = before
        self.environment = environment or dict(os.environ)
        self.folder = folder
        self.walls = []
        self.processor = []
        self.memory = 0

    def run(self, counts=True):
        """Runs it once, and checks its answer."""
        if self.before:
            self.before()
        os.chdir(self.folder)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)]
            began = time.perf_counter()
            process = os.posix_spawn(self.command[0], self.command, self.environment, file_actions=actions)
            _, status, usage = os.wait4(process, 0)
            took = time.perf_counter() - began
            out.seek(0)
            errors.seek(0)
            self.check(os.waitstatus_to_exitcode(status), out.read(), errors.read())
        if counts:
            self.walls.append(took * 1000)
            self.processor.append((usage.ru_utime + usage.ru_stime) * 1000)
            self.memory = max(self.memory, usage.ru_maxrss)

    def check(self, code, out, errors):
        if code == 0 and self.wanted is None:
            return
        try:
            answer = json.loads(out)["result"] if code == 0 else None
        except (ValueError, KeyError, TypeError):
            answer = None
        if answer != self.wanted:
            told = (errors or out).decode("utf-8", "replace").strip()[-2000:]
            sys.exit(f"bench: {self.name}: exit code {code}, {answer!r} in place of {self.wanted!r}\n{told}")

    def figures(self):
        return {
            "name": self.name,
            "runs": len(self.walls),
            "min_ms": min(self.walls),
            "p50_ms": statistics.median(self.walls),
            "processor_p50_ms": statistics.median(self.processor),
            "max_resident_kib": self.memory,
        }


def edit(path):
    """What changes a program, and nothing of what it does."""
    mark = "#" if path.suffix == ".py" else "//"

    def append():
        with path.open("a") as file:
            file.write(f"{mark} edited at {time.time_ns()}\n")

    return append


def interleave(ways, rounds):
    for way in ways:
        # Caches of the first run are no part of the figure.
        way.run(counts=False)
    for _ in range(rounds):
        for way in ways:
            way.run()
    return [way.figures() for way in ways]


def table(title, figures, reference):
    """Prints it; each ratio is that of `reference` to the line."""
    print(f"\n{title}\n")
    print(f"  {'milliseconds':<34}{'min':>9}{'p50':>9}{'cpu p50':>9}{'MiB':>7}{'runs':>6}   capsule is")
    base = next(row for row in figures if row["name"] == reference)
    for row in figures:
        ratio = "" if row is base else f"{base['p50_ms'] / row['p50_ms']:>9.2f}x"
        print(
            f"  {row['name']:<34}{row['min_ms']:>9.2f}{row['p50_ms']:>9.2f}{row['processor_p50_ms']:>9.2f}"
            f"{row['max_resident_kib'] / 1024:>7.0f}{row['runs']:>6}{ratio}"
        )


class Bench:
    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.capsule = str(Path(options.capsule).resolve())
        self.peer = options.peer and Path(options.peer).resolve()

    def program(self, owner, name, text):
        folder = self.work / owner
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(text)
        return path

    def of_capsule(self, name, path, wanted, **more):
        return Way(name, [self.capsule, "run", "--json", str(path)], wanted, **more)

    def of_peer(self, name, path, wanted, **more):
        binaries = self.peer / "bin"
        path_variable = f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, "VIRTUAL_ENV": str(self.peer), "PATH": path_variable}
        command = [str(binaries / "capsule"), "run", path.name, "--json"]
        # It keeps its cache in the current folder.
        return Way(name, command, wanted, environment=environment, folder=str(path.parent), **more)

    def starts(self):
        """A program that says hello: warm, and after an edit."""
        others = [Way("python3 -c pass", [PYTHON, "-c", "pass"]), Way("bare spawn (/bin/true)", ["/bin/true"])]
        return self.hello("start: a program that says hello", "py", HELLO, others, self.peer)

    def typescript(self):
        """The same in TypeScript; and a project that has packages."""
        node = shutil.which("node")
        others = [Way("node -e 0", [node, "-e", "0"])] if node else []
        starts = self.hello("start: the same in TypeScript", "ts", HELLO_TYPESCRIPT, others, None)
        return {"starts": starts, "packages": self.packages(node)}

    def hello(self, title, language, text, others, peer):
        hello = "Hello from Capsule!"
        warm = self.program("capsule", f"hello.{language}", text)
        edited = self.program("capsule", f"edited.{language}", text)
        ways = [
            self.of_capsule("capsule run", warm, hello),
            self.of_capsule("capsule run, after an edit", edited, hello, before=edit(edited)),
            *others,
        ]
        if peer:
            path = self.program("peer", f"hello.{language}", text)
            ways.insert(2, self.of_peer("peer run", path, hello))
        figures = interleave(ways, self.options.rounds)
        if peer and self.options.edits:
            edited = self.program("peer-edited", f"edited.{language}", text)
            way = self.of_peer("peer run, after an edit", edited, hello, before=edit(edited))
            for _ in range(self.options.edits):
                way.run()
            figures.insert(3, way.figures())
        table(title, figures, "capsule run")
        return figures

    def packages(self, node):
        """Real packages: bundled anew and run, run again, and imported by Node."""
        path = self.program("packages", "main.ts", REPORT_TASK)
        beside = self.program("packages", "node.mjs", REPORT_NODE)
        self.program("packages", "report.mjs", REPORT)
        self.program("packages", "package.json", json.dumps({"private": True, "dependencies": PACKAGES}))
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        # Whose cache npm would fill is not the benchmark's business.
        install = ["npm", "install", "--cache", str(path.parent / ".npm"), "--prefix", str(path.parent), *quiet]
        if not shutil.which("npm") or subprocess.run(install, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode:
            print("\nno packages: npm could not install them")
            return None
        edited = self.program("packages", "edited.ts", REPORT_TASK)
        ways = [
            self.of_capsule("capsule run", path, REPORTED),
            self.of_capsule("capsule run, bundled anew", edited, REPORTED, before=edit(edited)),
            Way("node", [node, str(beside)], REPORTED),
        ]
        figures = interleave(ways, max(3, self.options.rounds // 2))
        table(f"a program with {', '.join(PACKAGES)}", figures, "capsule run")
        return figures

    def fresh(self):
        """How many sandboxes begin, answer and end in a second, on all processors."""
        rows = []
        for name, file, text in (
            ("Python", "fresh.py", FRESH_PYTHON),
            ("TypeScript", "fresh.ts", FRESH_TYPESCRIPT),
        ):
            command = [self.capsule, "run", "--json", str(self.program("capsule", file, text))]
            ways = [Way(name, [*command, str(n)], n * (n - 1) // 2) for n in (0, FRESH)]
            none, many = interleave(ways, max(3, self.options.rounds // 8))
            took = many["p50_ms"] - none["p50_ms"]
            rows.append({"name": name, "tasks": FRESH, "ms": took, "tasks_per_second": FRESH / took * 1000})
        print(f"\nfresh tasks: {FRESH} sub-tasks by map, without the start of the program\n")
        for row in rows:
            print(f"  {row['name']:<14}{row['tasks_per_second']:>8.0f} a second{row['ms'] / FRESH:>9.2f} ms each")
        return rows

    def worker(self):
        """Runs in a second, of a program that says hello."""
        path = self.program("capsule", "hello.py", HELLO)
        rows = {"capsule worker": []}
        if self.peer:
            peer_path = self.program("peer", "hello.py", HELLO)
            rows["peer"] = []
        for _ in range(max(3, self.options.rounds // 8)):
            rows["capsule worker"].append(self.worker_runs(path))
            if self.peer:
                rows["peer"].append(self.peer_runs(peer_path))
        medians = {name: statistics.median(rates) for name, rates in rows.items()}
        print(f"\nruns through a worker, {AT_A_TIME} at a time; the peer's run(), as many\n")
        for name, rate in medians.items():
            ratio = "" if name == "capsule worker" else f"{medians['capsule worker'] / rate:>9.1f}x"
            print(f"  {name:<18}{rate:>8.0f} a second{ratio}")
        return [{"name": name, "runs_per_second": rate} for name, rate in medians.items()]

    def worker_runs(self, path):
        """Runs a second of one worker, by frames on its standard streams."""
        process = subprocess.Popen([self.capsule, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def send(number):
            body = json.dumps({"id": number, "op": "run", "file": str(path)}).encode()
            process.stdin.write(len(body).to_bytes(4, "big") + body)
            process.stdin.flush()

        def hear():
            length = process.stdout.read(4)
            return json.loads(process.stdout.read(int.from_bytes(length, "big")))

        def answered():
            answer = hear()
            if not answer.get("envelope", {}).get("success"):
                sys.exit(f"bench: worker: {answer}")

        hear()
        send(0)
        answered()
        began = time.perf_counter()
        for number in range(RUNS):
            if number >= AT_A_TIME:
                answered()
            send(number)
        for _ in range(AT_A_TIME):
            answered()
        took = time.perf_counter() - began
        process.stdin.close()
        process.wait()
        return RUNS / took

    def peer_runs(self, path):
        way = self.of_peer("peer", path, None)
        python = str(self.peer / "bin" / "python3")
        command = [python, "-c", PEER_RUNNER, way.command[0], path.name, str(PEER_RUNS), str(AT_A_TIME)]
        done = subprocess.run(command, env=way.environment, cwd=way.folder, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit("bench: the peer's run() failed")
        return float(done.stdout)

    def memory(self):
        """Memory of its own that a sandbox has while it lives and waits."""
        few, many = LIVE
        sizes = {}
        for count in LIVE:
            text = CALLS.format(body=AT_ONCE.format(count=count, seconds=LIVE_SECONDS))
            path = self.program("capsule", f"live_{count}.py", text)
            command = [self.capsule, "run", "--json", str(path)]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            time.sleep(LIVE_SECONDS / 2)
            status = Path(f"/proc/{process.pid}/status").read_text()
            sizes[count] = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
            process.wait()
        each = (sizes[many] - sizes[few]) / (many - few)
        print(f"\nmemory: {each / 1024:.2f} MiB of its own for each of {many} sandboxes that live at one time")
        return {"sandboxes": many, "kib_each": each}

    def calls(self):
        """Sub-tasks: a hundred that do nothing, twenty that sleep."""
        found = []
        for title, count, seconds in (
            ("100 sub-tasks that do nothing", 100, 0),
            ("20 sub-tasks that sleep 100 ms each", 20, 0.1),
        ):
            bodies = {"in turn": IN_TURN, "map": AT_ONCE}
            ways = []
            for how, body in bodies.items():
                text = CALLS.format(body=body.format(count=count, seconds=seconds))
                path = self.program("capsule", f"calls_{count}_{how.replace(' ', '_')}.py", text)
                ways.append(self.of_capsule(f"capsule, {how}", path, count))
                if self.peer and how == "in turn":
                    path = self.program(f"peer-{count}", "calls.py", text)
                    ways.append(self.of_peer(f"peer, {how}", path, count))
            figures = interleave(ways, max(3, self.options.rounds // 4))
            table(title, figures, "capsule, map")
            found.append({"title": title, "figures": figures})
        return found

    def processor(self):
        """CPU work, natively and in a task: processor time, which a busy machine changes least."""
        path = str(self.program("capsule", "work.py", CPU))
        code = "import json, sys; sys.path.insert(0, sys.argv[1]); import work; "
        code += "print(json.dumps({'result': work.main(*sys.argv[2:])}))"
        native = [PYTHON, "-c", code, str(Path(path).parent)]
        inside = [self.capsule, "run", "--json", path]
        names = ["fib", "loop", "texts", "documents", "sort", "digest", "pattern"]
        ways = {}
        for name in ["", *names]:
            arguments = [name, str(TIMES)] if name else []
            ways[name] = [Way(f"{name} {command[0]}", command + arguments, names) for command in (native, inside)]
        for _ in range(max(3, self.options.rounds // 8)):
            for pair in ways.values():
                for way in pair:
                    way.run()
        starts = [min(way.processor) for way in ways.pop("")]
        rows = []
        for name, pair in ways.items():
            native_ms, task_ms = ((min(way.processor) - start) / TIMES for way, start in zip(pair, starts))
            rows.append({"name": name, "native_ms": native_ms, "task_ms": task_ms, "ratio": task_ms / native_ms})
        print("\nCPU work, processor time without the start, the least of all rounds\n")
        print(f"  {'milliseconds':<14}{'native':>10}{'in a task':>11}{'ratio':>8}")
        for row in rows:
            print(f"  {row['name']:<14}{row['native_ms']:>10.1f}{row['task_ms']:>11.1f}{row['ratio']:>7.1f}x")
        return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("capsule", help="the binary")
    parser.add_argument("--peer", metavar="VENV", help="another runtime's virtual environment")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of the first table (default 40)")
    parser.add_argument("--edits", type=int, default=1, help="edits of the peer, seconds each (default 1)")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given again")
    parser.add_argument("--json", metavar="FILE", help="write all figures there; - is the standard output")
    options = parser.parse_args()
    is_answer = options.json == "-"
    output = None if is_answer else options.json and Path(options.json).resolve()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    work = Path(tempfile.mkdtemp(prefix="capsule-bench."))
    try:
        # Tables are for people: they make way for an answer.
        with contextlib.redirect_stdout(sys.stderr if is_answer else sys.stdout):
            found = measure(options, work)
        text = json.dumps(found, indent=2) + "\n"
        if is_answer:
            print(text, end="")
        elif output:
            output.write_text(text)
    finally:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)


def measure(options, work):
    bench = Bench(options, work)
    load = os.getloadavg()
    kernel = f"{platform.system()} {platform.release()}"
    print(f"{os.cpu_count()} processors, {kernel}, load {load[0]:.1f} at the start")
    parts = options.only or PARTS
    found = {part: getattr(bench, part)() for part in parts}
    load_after = os.getloadavg()
    print(f"\nload {load_after[0]:.1f} at the end")
    return {"processors": os.cpu_count(), "kernel": kernel, "load": [load[0], load_after[0]], **found}


main()
