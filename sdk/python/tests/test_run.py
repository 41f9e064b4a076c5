"""Running programs: what goes in, what comes out."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import math
import os
import typing
from pathlib import Path
from typing import Any

import pytest
from conftest import Program

import capsule
from capsule import run, run_sync

TASK = "from capsule import task\n@task"
ECHO = """
from capsule import task

@task
def main(*args, **kwargs):
    return [args, kwargs]
"""


def test_the_documented_call(program: Program) -> None:
    path = program("""
        from capsule import task

        @task(name="main", compute="LOW", ram="64MB")
        def main() -> str:
            return "Hello from Capsule!"
    """)

    async def main() -> None:
        result = await run(file=str(path), args=[])
        assert (result["success"], result["result"], result["error"]) == (True, "Hello from Capsule!", None)

    asyncio.run(main())


def test_the_types_are_those_of_real_envelopes(program: Program) -> None:
    good = run_sync(program("def main(): return 1"))
    bad = run_sync(program("def main(): return 1 / 0"))
    assert set(good) == set(bad) == set(typing.get_type_hints(capsule.Result))
    execution = typing.get_type_hints(capsule.Execution)
    assert set(good["execution"]) == set(execution) - {"output_truncated"}
    for name, value in good["execution"].items():
        assert type(value) is (typing.get_origin(execution[name]) or execution[name]), name
    assert bad["error"] is not None
    assert set(bad["error"]) == set(typing.get_type_hints(capsule.ErrorInfo)) - {"hint"}


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63, 10**100, -(10**300), 0.1, 1e308, 5e-324, 1.0, -0.0,
        "", "text", "ümläut 🙂", "\x00\n\"\\", "\u2028", [], [[]], {}, {"a": {"b": [1, None]}}, {"": 0},
    ],
)  # fmt: skip
def test_arguments_and_results_are_exact(program: Program, value: Any) -> None:
    result = run_sync(program(ECHO), args=[value], kwargs={"key": value})["result"]
    assert result == [[value], {"key": value}]
    assert json.dumps(result) == json.dumps([[value], {"key": value}])


@dataclasses.dataclass
class Point:
    x: int


def test_what_has_one_obvious_form_gets_it(program: Program) -> None:
    sent = [(1, 2), Point(3), datetime.date(2026, 1, 2), Path("a/b")]
    assert run_sync(program(ECHO), args=sent)["result"] == [[[1, 2], {"x": 3}, "2026-01-02", "a/b"], {}]


@pytest.mark.parametrize("value", [b"x", {1}, {1: 2}, math.nan, math.inf, object(), [[b""]]])
def test_what_json_cannot_hold_is_refused(program: Program, value: Any) -> None:
    with pytest.raises(TypeError, match=r"^args\["):
        run_sync(program(ECHO), args=[value])


def test_text_is_no_list_of_arguments(program: Program) -> None:
    with pytest.raises(TypeError, match="args is a list"):
        run_sync(program(ECHO), args="abc")


def test_large_arguments_and_results(program: Program) -> None:
    text = "x" * (20 << 20)
    path = program("""
        from capsule import task

        @task(ram="512MB", compute="HIGH")
        def main(text):
            return text
    """)
    assert run_sync(path, args=[text], timeout=60)["result"] == text

    async def main() -> None:
        assert (await run(path, args=[text]))["result"] == text

    asyncio.run(main())
    with pytest.raises(ValueError, match="pass a file instead"):
        run_sync(path, args=["x" * (64 << 20)])
    too_large = run_sync(source="from capsule import task\n@task(ram='1GB', compute='HIGH')\n"
                         "def main(): return 'x' * (65 << 20)", timeout=60)  # fmt: skip
    assert too_large["error"] is not None
    assert too_large["error"]["code"] == "E4003"


def test_failures_are_told(program: Program) -> None:
    path = program("""
        import sys
        from capsule import task

        @task
        def main(how):
            if how == "raise":
                raise KeyError("lost")
            if how == "exit":
                sys.exit(3)
            return {1, 2}
    """)
    raised = run_sync(path, args=["raise"])["error"]
    assert raised is not None
    assert (raised["error_type"], raised["message"], raised["code"]) == ("KeyError", "'lost'", "E3008")
    assert f'File "{path}", line 8, in main' in raised["traceback"]
    assert 'raise KeyError("lost")' in raised["traceback"]
    exited = run_sync(path, args=["exit"])["error"]
    assert exited is not None
    assert (exited["error_type"], exited["message"]) == ("SystemExit", "the task called exit(3)")
    inexact = run_sync(path, args=["set"])["error"]
    assert inexact is not None
    assert inexact["error_type"] == "NotExact"


@pytest.mark.parametrize(
    ("source", "kind", "code"),
    [
        ("def main(:", "SyntaxError", "E3008"),
        ("raise OSError('at the top')", "OSError", "E3008"),
        (f"{TASK}(ram='1MB')\ndef main(): pass", "CapsuleError", "E1010"),
        (f"{TASK}(timeout='300ms')\ndef main():\n while True: pass", "Timeout", "E3003"),
        (f"{TASK}(compute=50_000_000)\ndef main():\n while True: pass", "FuelExhausted", "E4004"),
        (f"{TASK}\ndef main(): return 'x' * (1 << 30)", "MemoryError", "E4001"),
        ("from capsule import run", "ImportError", "E3008"),
    ],
)  # fmt: skip
def test_every_end_has_a_type_and_a_code(source: str, kind: str, code: str) -> None:
    result = run_sync(source=source)
    assert (result["success"], result["result"]) == (False, None)
    assert result["error"] is not None
    assert (result["error"]["error_type"], result["error"]["code"]) == (kind, code)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    error = run_sync("missing.py", cwd=tmp_path)["error"]
    assert error is not None
    assert (error["code"], "missing.py" in error["message"]) == ("E1009", True)
    error = run_sync(cwd=tmp_path)["error"]
    assert error is not None
    assert error["code"] == "E1009"


def test_other_tasks_can_be_called(program: Program) -> None:
    path = program("from capsule import task\n@task\ndef other(x): return x + 1\n@task\ndef main(): return 0")
    assert run_sync(path, [41], task="other")["result"] == 42
    error = run_sync(path, task="othre")["error"]
    assert error is not None
    assert (error["code"], error.get("hint")) == ("E1011", 'did you mean "other"?')


def test_an_edit_is_seen_in_every_file(program: Program) -> None:
    path = program("import helper\ndef main(): return helper.value")
    helper = program("value = 1", "helper.py")
    assert run_sync(path)["result"] == 1
    before = helper.stat()
    helper.write_text("value = 2")
    # Not even the time tells.
    os.utime(helper, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run_sync(path)["result"] == 2
    path.write_text("def main(): return 3")
    assert run_sync(path)["result"] == 3


def test_programs_of_one_name_never_mix(program: Program) -> None:
    paths = [program(f"import part\ndef main(): return part.n, {n}", f"{n}/main.py") for n in range(8)]
    for n in range(8):
        program(f"n = {n}", f"{n}/part.py")

    async def main() -> None:
        runs = [run("main.py", cwd=path.parent) for path in paths for _ in range(5)]
        results = [result["result"] for result in await asyncio.gather(*runs)]
        assert results == [[n, n] for n in range(8) for _ in range(5)]

    asyncio.run(main())


def test_paths_are_relative_to_the_callers_folder(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program("def main(): raise ValueError", "folder/deep/main.py")
    # The worker was started elsewhere.
    monkeypatch.chdir(path.parents[2])
    error = run_sync("folder/deep/main.py")["error"]
    assert error is not None
    # A program is not told where on the host it lies.
    assert 'File "folder/deep/main.py", line 1, in main' in error["traceback"]
    assert str(path.parents[2]) not in error["traceback"]
    assert run_sync("deep/main.py", cwd="folder")["error"] is not None
    assert run_sync("main.py", cwd=path.parent)["execution"]["task_name"] == "main"


def test_the_entrypoint_of_capsule_toml(program: Program) -> None:
    path = program("def main(): return 'entry'", "src/app.py")
    program('[workflow]\nentrypoint = "src/app.py"\n', "capsule.toml")
    assert run_sync(cwd=path.parents[1])["result"] == "entry"


def test_the_environment_is_todays(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program("""
        import os
        from capsule import task

        @task(env_variables=["CAPSULE_SDK_TEST"])
        def main():
            return os.environ.get("CAPSULE_SDK_TEST"), len(os.environ)
    """)
    assert run_sync(path)["result"] == [None, 0]
    monkeypatch.setenv("CAPSULE_SDK_TEST", "a")
    monkeypatch.setenv("CAPSULE_SDK_SECRET", "b")
    assert run_sync(path)["result"] == ["a", 1]
    monkeypatch.delenv("CAPSULE_SDK_TEST")
    assert run_sync(path)["result"] == [None, 0]


def test_the_same_fuel_however_often_it_ran(program: Program) -> None:
    # From the third run on the worker begins with the memory in which it was loaded.
    path = program(
        "from capsule import task\n@task\ndef child(n): return n * n\n@task\ndef main(): return child(7)"
    )
    runs = [run_sync(path) for _ in range(5)]
    assert {result["execution"]["fuel_consumed"] for result in runs} == {
        runs[0]["execution"]["fuel_consumed"]
    }
    assert [result["result"] for result in runs] == [49] * 5


def test_many_at_once(program: Program) -> None:
    path = program("import time\ndef main(n):\n time.sleep(0.2)\n return n")

    async def main() -> None:
        results = await asyncio.gather(*[run(path, [n]) for n in range(60)])
        assert [result["result"] for result in results] == list(range(60))

    asyncio.run(asyncio.wait_for(main(), 30))


def test_arguments_contradict_each_other(program: Program) -> None:
    with pytest.raises(TypeError, match="not both"):
        run_sync(program(ECHO), source="")
    with pytest.raises(capsule.WorkerError, match="mounts"):
        run_sync(program(ECHO), mounts=["::"])
