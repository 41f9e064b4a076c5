"""The worker of a process: cancellation, death, threads, loops, forks, the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import cpu_seconds, gone_within, is_alive

import capsule
from capsule import WorkerError, _protocol, _worker, run, run_sync
from capsule._worker import Worker

LOOP = "from capsule import task\n@task(compute='HIGH', timeout='1m')\ndef main():\n while True: pass"
SLEEP = "import time\ndef main():\n time.sleep(30)"
ONE = "def main(): return 1"


def is_idle(worker: Worker) -> bool:
    """Whether it stops burning within a moment: what was cancelled runs no more."""
    time.sleep(0.1)
    before = cpu_seconds(worker.pid)
    time.sleep(0.5)
    return cpu_seconds(worker.pid) - before < 0.1


@pytest.mark.parametrize("source", [LOOP, SLEEP])
def test_cancelling_ends_the_guest(worker: Worker, source: str) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(run(source=source)) for _ in range(3)]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        assert (await run(source=ONE))["result"] == 1

    asyncio.run(main())
    assert is_idle(worker)
    assert worker._waiting == {}


def test_a_timeout_ends_the_guest(worker: Worker) -> None:
    async def main(work: Coroutine[Any, Any, Any]) -> None:
        await work

    for source in (LOOP, SLEEP):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            run_sync(source=source, timeout=0.2)
        with pytest.raises(TimeoutError):
            asyncio.run(main(run(source=source, timeout=0.2)))
        with pytest.raises(TimeoutError):
            asyncio.run(main(asyncio.wait_for(run(source=source), 0.2)))
        assert time.monotonic() - started < 5
    assert is_idle(worker)
    assert worker._waiting == {}


def test_a_cancelled_large_request_is_not_forgotten(worker: Worker) -> None:
    async def main() -> None:
        for delay in (0, 0.001, 0.01):
            task = asyncio.create_task(run(source=LOOP + "\n#" + "x" * (8 << 20)))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    time.sleep(0.5)
    assert is_idle(worker)


def test_a_failing_output_handler_is_the_callers_error(worker: Worker) -> None:
    def refuse(channel: str, data: bytes) -> None:
        raise ZeroDivisionError("the handler's own")

    source = "print('x')\n" + LOOP
    with pytest.raises(ZeroDivisionError, match="the handler's own"):
        run_sync(source=source, on_output=refuse)
    with pytest.raises(ZeroDivisionError, match="the handler's own"):
        asyncio.run(run(source=source, on_output=refuse))
    assert is_idle(worker)


def test_a_killed_worker_is_an_error_and_then_another_one(worker: Worker) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(run(source=SLEEP)) for _ in range(3)]
        await asyncio.sleep(0.3)
        os.kill(worker.pid, signal.SIGKILL)
        for task in tasks:
            with pytest.raises(WorkerError, match="the worker ended: signal 9") as caught:
                await task
            assert caught.value.retryable
        assert (await run(source=ONE))["result"] == 1

    asyncio.run(main())
    assert worker.is_dead
    assert not is_alive(worker.pid)
    assert run_sync(source=ONE)["result"] == 1


def test_threads_and_loops_share_one(worker: Worker) -> None:
    async def several(n: int) -> list[Any]:
        runs = [run(source="def main(n): return n", args=[(n, m)]) for m in range(5)]
        return [result["result"] for result in await asyncio.gather(*runs)]

    def in_a_loop(n: int) -> list[Any]:
        return asyncio.run(several(n))

    def without(n: int) -> list[Any]:
        return [run_sync(source="def main(n): return n", args=[(n, m)])["result"] for m in range(5)]

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(work, n) for n in range(16) for work in (in_a_loop, without)]
        results = [future.result(60) for future in futures]
    assert results == [[[n, m] for m in range(5)] for n in range(16) for _ in range(2)]
    assert [worker.pid] == [other.pid for other in _worker._workers.values() if not other.is_dead]


def test_a_closed_loop_takes_nothing_with_it() -> None:
    async def leave() -> None:
        task = asyncio.create_task(run(source="import time\ndef main(): time.sleep(0.3)"))
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(leave())
    time.sleep(0.4)
    assert run_sync(source=ONE)["result"] == 1


def test_a_fork_has_a_worker_of_its_own(worker: Worker) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # In the child nothing but this may happen.
        try:
            result = run_sync(source=ONE, timeout=60)["result"]
            own = next(iter(_worker._workers.values())).pid
            os.write(writing, f"{result} {own}".encode())
            _worker._close_all()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read().split()
    os.waitpid(child, 0)
    assert answer[0] == "1"
    assert int(answer[1]) != worker.pid
    gone_within(int(answer[1]), 5)
    assert is_alive(worker.pid)
    assert run_sync(source=ONE)["result"] == 1


def in_a_process(code: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


FIRST = """
    import asyncio, os, sys, time
    from capsule import run, run_sync, _worker, Session, SyncSession
    run_sync(source="")
    print(next(iter(_worker._workers.values())).pid, flush=True)
"""


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(0)",
        "asyncio.run(run(source=''))",
        # What still runs goes too.
        f"import threading; work = lambda: run_sync(source={SLEEP!r});"
        "threading.Thread(target=work, daemon=True).start(); time.sleep(0.2)",
        "s = SyncSession(); s.run('x = 1')",
    ],
)
def test_an_ordinary_end_leaves_no_orphan_and_no_word(ending: str) -> None:
    process = in_a_process(FIRST + "\n    " + ending)
    told, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    gone_within(int(told), 5)


def test_a_sudden_end_leaves_no_orphan() -> None:
    process = in_a_process(FIRST + f"\n    run_sync(source={LOOP!r})")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    time.sleep(0.3)
    process.kill()
    process.communicate()
    gone_within(pid, 5)


def test_control_c_ends_the_task_and_not_the_worker() -> None:
    code = (
        FIRST
        + f"""
    import signal
    # Whoever runs the tests in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run_sync(source={LOOP!r})
    except KeyboardInterrupt:
        print(run_sync(source={ONE!r})["result"])
    """
    )
    # As a terminal does it: the signal is for the whole group.
    process = in_a_process(code, process_group=0)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    told, errors = process.communicate(timeout=30)
    assert (told, errors) == ("1\n", "")


def test_the_binary_is_found_or_the_error_says_how(
    binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAPSULE_BIN")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(capsule.BinaryNotFound, match=r"hint: build it with `make build`"):
        run_sync(source="")
    with pytest.raises(FileNotFoundError):
        run_sync(source="")
    # A place that is named is the place: nothing else is tried.
    (tmp_path / "capsule").symlink_to(binary)
    monkeypatch.setenv("CAPSULE_BIN", "/nowhere/capsule")
    with pytest.raises(
        capsule.BinaryNotFound, match="CAPSULE_BIN names '/nowhere/capsule', which does not exist"
    ):
        run_sync(source="")
    with pytest.raises(capsule.BinaryNotFound, match="capsule_path names"):
        run_sync(source="", capsule_path=tmp_path / "other")
    assert run_sync(source=ONE, capsule_path=binary)["result"] == 1
    # As the peer has it: a name, looked for on PATH.
    assert run_sync(source=ONE, capsule_path="capsule")["result"] == 1
    monkeypatch.delenv("CAPSULE_BIN")
    assert run_sync(source=ONE)["result"] == 1


@pytest.mark.parametrize(
    ("script", "match"),
    [
        ("exit 2", "exit code 2"),
        ("echo hello; cat >/dev/null", "something else than frames"),
        (
            r"""printf '\0\0\0\047{"hello":{"version":"9","protocol":99}}'; cat >/dev/null""",
            "speaks protocol 99",
        ),
        ("kill -9 $$", "signal 9"),
    ],
)
def test_a_binary_that_is_no_worker_is_told(tmp_path: Path, script: str, match: str) -> None:
    path = tmp_path / "capsule"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    for _ in range(2):
        with pytest.raises(WorkerError, match=match):
            run_sync(source="", capsule_path=path, timeout=30)
    with pytest.raises(WorkerError, match=match):
        asyncio.run(run(source="", capsule_path=path, timeout=30))


def test_what_cannot_be_started_is_told(tmp_path: Path) -> None:
    path = tmp_path / "capsule"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    with pytest.raises(WorkerError, match="cannot be started"):
        run_sync(source="", capsule_path=path)


def test_output_goes_to_standard_error_unless_told(capfd: pytest.CaptureFixture[str]) -> None:
    source = "import sys\ndef main():\n print('out')\n print('err', file=sys.stderr)"
    run_sync(source=source)
    asyncio.run(run(source=source))
    run_sync(source=source, on_output=None)
    out, err = capfd.readouterr()
    assert (out, sorted(err.split())) == ("", ["err", "err", "out", "out"])


def test_a_number_may_come_again_as_soon_as_it_is_answered(binary: str) -> None:
    command = [binary, "worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin
        assert worker.stdout
        questions, answers = worker.stdin, worker.stdout

        def hear() -> dict[str, Any]:
            length = int.from_bytes(answers.read(4), "big")
            return cast("dict[str, Any]", json.loads(answers.read(length)))

        def ask(number: int, **request: object) -> None:
            questions.write(_protocol.pack(json.dumps({"id": number, **request})))
            questions.flush()

        assert "hello" in hear()
        for source in [ONE, "export const main = () => 1;"]:
            language = "python" if source == ONE else "typescript"
            for number in range(8):
                ask(number, op="run", source=source, language=language)
            for turn in range(300):
                answer = hear()
                assert answer.get("envelope", {}).get("success"), (turn, answer)
                ask(answer["id"], op="run", source=source, language=language)
            assert all("envelope" in hear() for _ in range(8))
        questions.close()


def test_threads_end_in_time() -> None:
    # One reading thread for each living worker.
    readers = [thread for thread in threading.enumerate() if thread.name == "capsule-worker"]
    assert len(readers) == len([worker for worker in _worker._workers.values() if not worker.is_dead])
