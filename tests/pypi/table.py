#!/usr/bin/env python3
"""Asks packages of PyPI what they are for, inside of a sandbox; writes docs/packages-pypi.md.

    python3 tests/pypi/table.py [--check] [GROUP[:PACKAGE]...]

Needs CAPSULE_BIN, or dist/capsule. Each group is a project: GROUP.py asks, GROUP.txt is its
requirements.txt. With groups named, or --check, nothing is written; --check demands that the
page says the same.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs/packages-pypi.md"
CAPSULE = os.environ.get("CAPSULE_BIN") or str(HERE.parents[1] / "dist/capsule")

PURE = ["web", "text", "data", "maths", "tools"]
#: Lines of a list below this one are asked nothing: others need them.
NEEDED = "# What they stand on."

TEXT = """# Packages of PyPI

What was tried: each package was installed as a project's `requirements.txt` asks for it,
asked something that it is for, and its answer compared. The questions are in
[tests/pypi](../tests/pypi); `python3 tests/pypi/table.py` writes this page.

## Pure Python

In a WebAssembly sandbox without any right: {pure}.

{pure_table}

## Native code that is only there for speed

Their wheels hold native code, which is left out; the same packages have a path in Python,
and take it: {speed}.

{speed_table}

## Native code

These are nothing without theirs, and say so in a WebAssembly sandbox. With
[`isolation="jail"`](guide-tasks.md#packages-with-native-code) the same tasks run in CPython
inside a jail: {native}.

{native_table}
"""


class Group:
    """A project with one task for each package."""

    def __init__(self, name, folder, isolation="wasm"):
        self.name = name
        self.folder = folder / f"{name}-{isolation}"
        self.folder.mkdir()
        shutil.copy(HERE / f"{name}.py", self.folder / "main.py")
        shutil.copy(HERE / f"{name}.txt", self.folder / "requirements.txt")
        shutil.copy(HERE / "right.py", self.folder)
        (self.folder / "capsule.toml").write_text(
            f'[tasks]\ndefault_isolation = "{isolation}"\ndefault_ram = "512MB"\n'
        )
        lines = (HERE / f"{name}.txt").read_text().split(NEEDED)[0].splitlines()
        self.packages = [line.split("==") for line in lines if not line.startswith("#")]

    def ask(self, package):
        """None if the answer is right, else what is wrong."""
        task = re.sub(r"[-_.]+", "-", package).lower()
        command = [CAPSULE, "run", "--json", "--task", task, "main.py"]
        done = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
        try:
            envelope = json.loads(done.stdout)
        except ValueError:
            return done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
        error = envelope["error"]
        if error and error["code"] == "E2008":
            print(f"skipped: {self.name}: {error['message']}")
            sys.exit(77)
        if error:
            return f"{error['error_type']}: {error['message']}"
        return None if envelope["result"] == "right" else f"answered {envelope['result']!r}"


class Count:
    """What came of all questions."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.passed = self.failed = 0

    def wants(self, group, package):
        return not self.chosen or {group, f"{group}:{package}"} & set(self.chosen)

    def questions(self, group):
        """Each package that is wanted: name, version, what is wrong with its answer."""
        for package, version in group.packages:
            if self.wants(group.name, package):
                yield package, version, group.ask(package)

    def add(self, group, package, wrong):
        if wrong is None:
            self.passed += 1
        else:
            self.failed += 1
            print(f"failed: {group.name}:{package}: {wrong}", flush=True)

    def table(self, groups):
        """Those that have to answer right, and how many do."""
        rows, right = [], 0
        for group in groups:
            for package, version, wrong in self.questions(group):
                self.add(group, package, wrong)
                right += wrong is None
                rows.append([link(package), version, cell(wrong or "right")])
        return lines(["package", "version", "answer"], rows), f"{right} of {len(rows)} answer right"

    def native(self, inside, jail):
        """Those that have to say what to do, and to answer right once it is done."""
        rows, right = [], 0
        for package, version, told in self.questions(inside):
            says = told is not None and 'isolation="jail"' in told
            self.add(inside, package, None if says else told or "it has no native code")
            wrong = jail.ask(package)
            self.add(jail, package, wrong)
            right += wrong is None
            rows.append([link(package), version, cell(told or "right"), cell(wrong or "right")])
        columns = ["package", "version", "in WebAssembly", "in a jail"]
        return lines(columns, rows), f"{right} of {len(rows)} answer right"


def link(package):
    return f"[{package}](https://pypi.org/project/{package}/)"


def cell(text):
    return text.splitlines()[0].replace("|", "\\|")


def lines(columns, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, *rows]).replace(
        "\n", "\n" + "|---" * len(columns) + "|\n", 1
    )


def main():
    words = sys.argv[1:]
    chosen = [word for word in words if not word.startswith("--")]
    count = Count(chosen)
    with tempfile.TemporaryDirectory(prefix="capsule-pypi.") as name:
        folder = Path(name)
        pure_table, pure = count.table([Group(group, folder) for group in PURE])
        speed_table, speed = count.table([Group("speed", folder)])
        native_table, native = count.native(Group("native", folder), Group("native", folder, "jail"))
    text = TEXT.format(
        pure=pure, pure_table=pure_table, speed=speed, speed_table=speed_table, native=native, native_table=native_table
    )
    if "--check" in words:
        said = PAGE.read_text().splitlines()
        # Of a part, the rows alone can be the same.
        news = [line for line in text.splitlines() if line not in said and (not chosen or line.startswith("| ["))]
        for line in news:
            count.failed += 1
            print(f"failed: {PAGE.name} does not say: {line}; hint: python3 tests/pypi/table.py")
    elif not chosen:
        PAGE.write_text(text)
    print(f"pypi: {count.passed} passed, {count.failed} failed, 0 skipped")
    sys.exit(1 if count.failed else 0)


main()
