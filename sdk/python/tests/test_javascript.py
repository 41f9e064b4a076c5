"""TypeScript and JavaScript from Python: programs, code that runs once, sessions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import cpu_seconds

from capsule import (
    Session,
    SessionLost,
    SyncSession,
    TaskError,
    WorkerError,
    run_javascript,
    run_javascript_sync,
    run_sync,
)
from capsule._worker import Worker

PROGRAM = """
import { task } from "@capsule-run/sdk";
const square = task({ name: "square" }, (n: number): number => n * n);
export const main = task({ name: "main" }, async (...numbers: number[]) => {
  return await square.map(numbers);
});
export const fail = task({ name: "fail" }, (): never => {
  throw new RangeError("no");
});
"""


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The first use may compile the runtime."""
    assert run_sync(source="", language="typescript", timeout=180)["success"]


def test_a_program_in_typescript_runs(tmp_path: Path) -> None:
    (tmp_path / "main.ts").write_text(PROGRAM)
    assert run_sync(tmp_path / "main.ts", [1, 2, 3])["result"] == [1, 4, 9]
    for written in ({"name": "agent/step.ts"}, {"language": "typescript"}):
        result = run_sync(source=PROGRAM, args=[1, 2, 3], **written)  # type: ignore[arg-type]
        assert result["result"] == [1, 4, 9]
    error = run_sync(source=PROGRAM, name="agent/step.ts", task="fail")["error"]
    assert error is not None
    assert error["error_type"] == "RangeError"
    assert "agent/step.ts:8:9" in error["traceback"]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ({"language": "ruby"}, "E1003"),
        ({"language": "python", "name": "main.ts"}, "E1006"),
        ({"language": "typescript", "name": "main.py"}, "E1006"),
        ({"name": "main.rs"}, "E1003"),
    ],
)
def test_a_wrong_language_is_told(written: dict[str, str], code: str) -> None:
    with pytest.raises(WorkerError) as caught:
        run_sync(source="1", **written)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert caught.value.hint


def test_text_in_the_other_language_is_recognised() -> None:
    error = run_sync(source=PROGRAM)["error"]
    assert error is not None
    assert "looks like TypeScript" in error["hint"]


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        (
            "\nconsole.log('Hello from JavaScript!');\nconst x = 5 + 3;\nx * 2\n",
            "Hello from JavaScript!\n16",
            16,
        ),
        ("console.log('a'); console.error('b')", "a", None),
        ("'é' as string", "é", "é"),
        ("[1, null, true, { a: 1.5 }]", '[1,null,true,{"a":1.5}]', [1, None, True, {"a": 1.5}]),
        ("await Promise.resolve(7)", "7", 7),
        ("12345678901234567890n", "12345678901234567890n", "12345678901234567890n"),
        ("new Set([1])", "Set(1) { 1 }", "Set(1) { 1 }"),
        ("", "", None),
    ],
)
def test_output_and_value(code: str, text: str, value: object) -> None:
    answer = run_javascript_sync(code)
    assert answer == text
    assert answer.value == value


def test_several_at_one_time() -> None:
    async def main() -> None:
        answers = await asyncio.gather(*[run_javascript(f"{n} * 2") for n in range(20)])
        assert [answer.value for answer in answers] == [2 * n for n in range(20)]

    asyncio.run(main())


def test_names_live_on_and_nobody_else_sees_them() -> None:
    with SyncSession("javascript") as one, SyncSession("javascript") as other:
        one.run("let x: number = 1; Object.prototype.polluted = 1; globalThis.leaked = 1")
        with pytest.raises(TaskError, match="no"):
            one.run("throw new Error('no')")
        assert one.run("x + 1") == "2"
        assert other.run("[typeof x, ({}).polluted ?? null, typeof leaked]").value == [
            "undefined",
            None,
            "undefined",
        ]
        one.reset()
        assert one.run("typeof x").value == "undefined"


def test_a_session_has_one_language() -> None:
    with SyncSession("javascript") as session:
        session.run("1")
        session._wanted = session._wanted.replace('"javascript"', '"python"')
        with pytest.raises(WorkerError, match="another language") as caught:
            session.run("1")
        assert caught.value.code == "E1006"
    with pytest.raises(ValueError, match="'python' and 'javascript'"):
        SyncSession("ruby")  # type: ignore[arg-type]


def test_files_go_in_and_out(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("from outside")
    with SyncSession("javascript", cwd=tmp_path) as session:
        assert session.import_file("in.txt", "in.txt") == "/workspace/in.txt"
        session.run(
            "const fs = require('fs');"
            "fs.writeFileSync('workspace/out.txt', fs.readFileSync('workspace/in.txt') + '!')"
        )
        session.export_file("out.txt", "out.txt")
        session.delete_file("in.txt")
        assert session.run("fs.readdirSync('workspace')").value == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "from outside!"


@pytest.fixture
def idle(worker: Worker) -> Iterator[None]:
    """Whatever a test began burns nothing after it."""
    yield
    time.sleep(0.1)
    before = cpu_seconds(worker.pid)
    time.sleep(0.4)
    assert cpu_seconds(worker.pid) - before < 0.1


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    "code",
    [
        "while (true);",
        "(function f() { queueMicrotask(f) })()",
        "setInterval(() => {}, 0); await new Promise(() => {})",
    ],
)
def test_what_never_ends_is_ended(code: str) -> None:
    with SyncSession("javascript", timeout="300ms") as session:
        # That a file came first takes nothing of the limit away.
        session.import_file(__file__, "test.py")
        with pytest.raises(TaskError) as caught:
            session.run(code)
        assert caught.value.error_type == "Timeout"
        with pytest.raises(SessionLost):
            session.run("1")

    async def cancelled() -> None:
        async with Session("javascript") as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.run(code), 0.2)
            with pytest.raises(SessionLost):
                await session.run("1")

    asyncio.run(cancelled())


def test_frames_that_a_guest_prints_are_text() -> None:
    body = json.dumps(
        {"id": 1, "envelope": {"success": True, "result": "forged", "error": None, "execution": {}}}
    )
    code = (
        f"const data = Buffer.from({json.dumps(body)});"
        "const head = Buffer.alloc(4); head.writeUInt32BE(data.length);"
        "for (let n = 0; n < 3; n++) process.stdout.write(Buffer.concat([head, data])); 'true'"
    )
    answer = run_javascript_sync(code)
    assert answer.value == "true"
    assert len(answer.stdout) == 3 * (4 + len(body))


def test_what_an_object_is_made_of_harms_nobody() -> None:
    answer = run_javascript_sync('JSON.parse(\'{"__proto__": {"a": 1}, "__class__": 1}\')')
    assert answer.value == {"__proto__": {"a": 1}, "__class__": 1}
    echo = "export const main = (x: unknown) => [x, ({} as { a?: 1 }).a ?? null];"
    given = {"__proto__": {"a": 1}, "constructor": {"prototype": {"a": 1}}}
    assert run_sync(source=echo, language="typescript", args=[given])["result"] == [given, None]
