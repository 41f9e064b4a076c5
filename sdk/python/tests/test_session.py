"""Sessions and code that runs once."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from conftest import cpu_seconds

from capsule import (
    DeniedError,
    Evaluation,
    Session,
    SessionLost,
    SyncSession,
    TaskError,
    WorkerError,
    run_python,
    run_python_sync,
)
from capsule._worker import Worker


def sees_files() -> bool:
    """Whether guests of this binary have files."""
    try:
        return run_python_sync("import os; os.path.isdir('/tmp')").value is True
    except TaskError:
        return False


needs_files = pytest.mark.skipif(
    "not __import__('test_session').sees_files()", reason="guests have no files yet"
)


def workspaces() -> set[str]:
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    return {path.name for path in folder.glob(f"capsule-worker-{os.geteuid()}-*/*/*")}


def test_the_answer_is_what_the_adapters_give() -> None:
    async def main() -> None:
        answer = await run_python('\nprint("Hello from Python!")\nx = 5 + 3\nx * 2\n')
        assert answer == "Hello from Python!\n16"
        assert (answer.stdout, answer.stderr, answer.value) == ("Hello from Python!\n", "", 16)
        assert answer.execution["fuel_consumed"] > 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "text", "value"),
    [
        ("", "", None),
        ("x = 1", "", None),
        ("None", "", None),
        ("print('Fast!')", "Fast!", None),
        ("print('a', end='')", "a", None),
        ("print('a\\n')", "a\n", None),
        ("'text'", "text", "text"),
        ("[1, 'a', None]", "[1, 'a', None]", [1, "a", None]),
        ("{'a': 1.5}", "{'a': 1.5}", {"a": 1.5}),
        ("10**50", "1" + "0" * 50, 10**50),
        # What JSON would change is told as Python writes it.
        ("(1, 2)", "(1, 2)", "(1, 2)"),
        ("{1: 2}", "{1: 2}", "{1: 2}"),
        ("float('nan')", "nan", "nan"),
        ("b'x'", "b'x'", "b'x'"),
        (
            "import datetime; datetime.date(2026, 1, 2)",
            "datetime.date(2026, 1, 2)",
            "datetime.date(2026, 1, 2)",
        ),
        ("import asyncio\nawait asyncio.sleep(0.01, 'slept')", "slept", "slept"),
    ],
)
def test_output_and_value(code: str, text: str, value: object) -> None:
    answer = run_python_sync(code)
    assert isinstance(answer, Evaluation)
    assert (answer, answer.value) == (text, value)


@pytest.mark.parametrize(
    "module", ["csv", "datetime", "decimal", "hashlib", "pathlib", "re", "sqlite3", "statistics", "zoneinfo"]
)
def test_modules_that_the_peer_lacks(module: str) -> None:
    assert run_python_sync(f"import {module}; {module}.__name__") == module


def test_exceptions_keep_the_session() -> None:
    with SyncSession() as session:
        session.run("x = 20")
        with pytest.raises(TaskError, match="ZeroDivisionError: division by zero") as caught:
            session.run("x += 1\nx / 0")
        assert (caught.value.error_type, caught.value.code) == ("ZeroDivisionError", "E3008")
        assert "line 2" in caught.value.traceback
        with pytest.raises(TaskError, match="SyntaxError"):
            session.run("x = = 1")
        with pytest.raises(TaskError, match="MemoryError"):
            session.run("'x' * (1 << 30)")
        assert session.run("x").value == 21


def test_sessions_do_not_see_each_other() -> None:
    async def main() -> None:
        async with Session() as one, Session() as other:
            for session, value in ((one, 1), (other, 2)):
                await session.run(f"import sys, builtins; x = {value}; sys.mine = builtins.mine = {value}")
            assert (await one.run("x, sys.mine, mine")).value == "(1, 1, 1)"
            assert (await other.run("x, sys.mine, mine")).value == "(2, 2, 2)"
            with pytest.raises(TaskError, match="NameError"):
                await run_python("x")
            assert await run_python("import sys; hasattr(sys, 'mine')") == "False"
            # Not even with each other's name in the program: names are random.
            assert one._name != other._name
            assert len(one._name) == 32

    asyncio.run(main())


def test_code_in_one_session_runs_in_order() -> None:
    async def main() -> None:
        async with Session() as session:
            await session.run("seen = []")
            await asyncio.gather(*[session.run(f"seen.append({n})") for n in range(20)])
            assert (await session.run("seen")).value == list(range(20))

    asyncio.run(main())


def test_much_output_in_many_pieces() -> None:
    with SyncSession(ram="192MB") as session:
        for _ in range(12):
            answer = session.run("print('x' * (9 << 20), end='')")
            assert len(answer) == 9 << 20
            assert "output_truncated" not in answer.execution
        answer = session.run("for _ in range(40): print('x' * (1 << 20), end='')")
        assert (len(answer), answer.execution.get("output_truncated")) == (10 << 20, True)
        assert session.run("1") == "1"


LOSSES = [
    ("timeout", {"timeout": "200ms"}, "while True: pass", "Timeout"),
    ("sleep", {"timeout": "200ms"}, "import time; time.sleep(9)", "Timeout"),
    ("fuel", {"compute": 50_000_000}, "while True: pass", "FuelExhausted"),
]


@pytest.mark.parametrize(
    ("options", "code", "kind"), [loss[1:] for loss in LOSSES], ids=[loss[0] for loss in LOSSES]
)
def test_a_lost_session_says_so(options: dict[str, object], code: str, kind: str) -> None:
    with SyncSession(**options) as session:  # type: ignore[arg-type]
        session.run("x = 1")
        with pytest.raises(TaskError) as caught:
            session.run(code)
        assert caught.value.error_type == kind
        assert "all that the session held in memory is lost" in caught.value.hint
        for _ in range(2):
            with pytest.raises(SessionLost):
                session.run("x")
        session.reset()
        with pytest.raises(TaskError, match="NameError"):
            session.run("x")


def test_a_cancelled_session_is_lost_and_burns_nothing(worker: Worker) -> None:
    async def main() -> None:
        async with Session() as session:
            await session.run("x = 1")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(session.run("while True: pass"), 0.3)
            with pytest.raises(SessionLost):
                await session.run("x")
            before = cpu_seconds(worker.pid)
            await asyncio.sleep(0.5)
            assert cpu_seconds(worker.pid) - before < 0.1

    asyncio.run(main())


def test_reset_forgets_names() -> None:
    with SyncSession() as session:
        session.run("import sys; x = sys.mark = 42")
        session.reset()
        with pytest.raises(TaskError, match="NameError"):
            session.run("x")
        assert session.run("import sys; hasattr(sys, 'mark')").value is False


def test_a_session_dies_with_its_worker_and_says_so(worker: Worker) -> None:
    with SyncSession() as session:
        session.run("x = 1")
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises((SessionLost, WorkerError)):
            session.run("x")
        with pytest.raises(SessionLost, match="lost with its worker"):
            session.run("x")
        session.reset()
        assert session.run("1") == "1"


def test_a_closed_session_says_so() -> None:
    session = SyncSession()
    session.close()
    session.close()
    with pytest.raises(WorkerError, match="closed"):
        session.run("1")


def test_nothing_is_left_of_a_session(worker: Worker) -> None:
    before = workspaces()
    with SyncSession() as session:
        session.run("x = 1")
        assert len(workspaces() - before) == 1
    forgotten = SyncSession()
    forgotten.run("x = 1")
    del forgotten
    gc.collect()
    until = time.monotonic() + 5
    while workspaces() != before and time.monotonic() < until:
        time.sleep(0.02)
    assert workspaces() == before


def test_the_next_worker_sweeps_up_after_a_killed_one(worker: Worker) -> None:
    with SyncSession() as session:
        session.run("x = 1")
        folder = Path(os.environ.get("TMPDIR", "/tmp"))
        left = list(folder.glob(f"capsule-worker-{os.geteuid()}-{worker.pid}-*"))
        assert len(left) == 1
        assert left[0].stat().st_mode & 0o777 == 0o700
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError):
            session.run("x") if not worker.is_dead else session._place()
    with SyncSession() as session:
        session.run("x = 1")
        assert not left[0].exists()


def test_options_are_those_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSULE_SDK_SECRET", "never")
    monkeypatch.setenv("CAPSULE_SDK_TEST", 'it\'s "seen" \\ ü\n')
    with SyncSession(env_variables=["CAPSULE_SDK_TEST"], ram="64MB", compute="LOW", timeout="5s") as session:
        seen = session.run("import os; dict(os.environ)").value
        assert seen == {"CAPSULE_SDK_TEST": 'it\'s "seen" \\ ü\n'}
        with pytest.raises(TaskError, match="MemoryError"):
            session.run("'x' * (100 << 20)")
    for options in ({"ram": "1 monkey"}, {"timeout": "1"}, {"compute": "HUGE"}):
        with SyncSession(**options) as session, pytest.raises(WorkerError, match="session"):  # type: ignore[arg-type]
            session.run("1")
    with pytest.raises(ValueError, match="javascript"):
        Session("ruby")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Session(allowed_hosts="example.com")


# --- files ---


def test_files_go_in_and_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"\x00\xffnotes")
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/leaf").write_text("leaf")
    (tmp_path / "tree/link").symlink_to("/etc/passwd")

    async def main() -> None:
        async with Session(cwd=tmp_path) as session:
            assert await session.import_file("notes.txt", "notes.txt") == "/workspace/notes.txt"
            assert await session.import_file(tmp_path / "tree", "tree") == "/workspace/tree"
            out = await session.export_file("notes.txt", "new/folder/out.txt")
            assert out == str(tmp_path / "new/folder/out.txt")
            assert (tmp_path / "new/folder/out.txt").read_bytes() == b"\x00\xffnotes"
            await session.export_file("/workspace/tree/deep/leaf", tmp_path / "leaf")
            assert (tmp_path / "leaf").read_text() == "leaf"
            # A link of the host went in as a link, and does not come out as a file.
            with pytest.raises(DeniedError, match="link"):
                await session.export_file("tree/link", tmp_path / "stolen")
            await session.import_file("leaf", "notes.txt")
            await session.export_file("notes.txt", "again")
            assert (tmp_path / "again").read_text() == "leaf"
            await session.reset()
            await session.export_file("notes.txt", "again")
            await session.delete_file("tree")
            await session.delete_file("notes.txt")
            for work in (session.export_file("notes.txt", "x"), session.delete_file("tree/deep")):
                with pytest.raises(WorkerError, match="No such file"):
                    await work
            with pytest.raises(WorkerError, match="missing"):
                await session.import_file("missing", "x")

    asyncio.run(main())
    assert not (tmp_path / "stolen").exists()
    assert not (tmp_path / "x").exists()


def in_workspace(session: Session) -> Path:
    """The folder of the host, as a hostile guest would have it."""
    assert session._worker is not None
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    # That of an earlier session is removed after its close was answered.
    for _ in range(200):
        places = list(folder.glob(f"capsule-worker-{os.geteuid()}-{session._worker.pid}-*/*/*"))
        if len(places) == 1:
            return places[0]
        time.sleep(0.02)
    raise AssertionError(places)


ESCAPES: list[tuple[str, Callable[[Session, Path], Awaitable[object]]]] = [
    ("export through a folder", lambda session, tmp: session.export_file("out/secret", tmp / "stolen")),
    ("export a link", lambda session, tmp: session.export_file("link", tmp / "stolen")),
    ("export a pipe", lambda session, tmp: session.export_file("pipe", tmp / "stolen")),
    ("export a folder", lambda session, tmp: session.export_file("folder", tmp / "stolen")),
    ("import through a folder", lambda session, tmp: session.import_file(tmp / "mine", "out/planted")),
    ("delete through a folder", lambda session, tmp: session.delete_file("out/secret")),
    ("export above", lambda session, tmp: session.export_file("../../secret", tmp / "stolen")),
    ("export absolute", lambda session, tmp: session.export_file("/etc/passwd", tmp / "stolen")),
    ("import above", lambda session, tmp: session.import_file(tmp / "mine", "a/../../planted")),
    ("import nowhere", lambda session, tmp: session.import_file(tmp / "mine", ".")),
    ("delete all", lambda session, tmp: session.delete_file("/workspace/")),
]


@pytest.mark.parametrize("attack", [escape[1] for escape in ESCAPES], ids=[escape[0] for escape in ESCAPES])
def test_the_workspace_is_hostile(
    worker: Worker, tmp_path: Path, attack: Callable[[Session, Path], Awaitable[object]]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "mine").write_text("mine")

    async def main() -> None:
        async with Session() as session:
            await session.run("1")
            place = in_workspace(session)
            (place / "out").symlink_to(outside)
            (place / "link").symlink_to(outside / "secret")
            os.mkfifo(place / "pipe")
            (place / "folder").mkdir()
            with pytest.raises((DeniedError, WorkerError)):
                await asyncio.wait_for(attack(session, tmp_path), 10)
            # What replaces a link replaces the link, and not what it leads to.
            await session.import_file(tmp_path / "mine", "link")
            assert not (place / "link").is_symlink()
            await session.delete_file("out")

    asyncio.run(main())
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert not (tmp_path / "stolen").exists()


@needs_files
def test_code_sees_its_workspace(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")

    async def main() -> None:
        async with Session() as session, Session() as other:
            await session.import_file(tmp_path / "notes.txt", "notes.txt")
            answer = await session.run(
                'with open("workspace/notes.txt") as f:\n    content = f.read()\ncontent'
            )
            assert answer == "notes"
            await session.run("open('/workspace/out.txt', 'w').write('made inside')")
            await session.export_file("out.txt", tmp_path / "out.txt")
            assert (tmp_path / "out.txt").read_text() == "made inside"
            assert await other.run("import os; os.listdir('/workspace')") == "[]"

    asyncio.run(main())
