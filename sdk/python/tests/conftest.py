from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capsule import _worker, run_sync

# Servers, for the tests of the other package.
pytest_plugins = ["serving"]

Program = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def binary() -> str:
    """The binary under test; the suite's run.sh names it."""
    named = os.environ.get("CAPSULE_BIN")
    if not named:
        pytest.exit("CAPSULE_BIN is not set: run tests/sdk/run.sh", 2)
    # The first use may compile the runtime.
    assert run_sync(source="", timeout=180)["success"]
    return named


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Writes programs."""

    def write(text: str, name: str = "main.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def worker() -> _worker.Worker:
    """The worker of this process."""
    run_sync(source="")
    return next(worker for worker in _worker._workers.values() if not worker.is_dead)


def cpu_seconds(pid: int) -> float:
    """What a process has burnt."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> None:
    """Waits for a process to be gone, and complains if it is not."""
    until = time.monotonic() + seconds
    while is_alive(pid):
        assert time.monotonic() < until, f"process {pid} is still there"
        time.sleep(0.02)
