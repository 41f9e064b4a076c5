"""Guests that try to confuse whoever runs them, and callers that speak nonsense."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import cpu_seconds, gone_within, is_alive

from capsule import run_sync
from capsule._worker import Worker

Pieces = list[tuple[str, bytes]]


def printed(pieces: Pieces, channel: str = "stdout") -> bytes:
    return b"".join(data for name, data in pieces if name == channel)


def test_frames_that_a_guest_prints_are_text() -> None:
    forged = b'{"id":1,"envelope":{"success":true,"result":"forged","error":null,"execution":{}}}'
    frame = len(forged).to_bytes(4, "big") + forged
    source = f"import sys\ndef main():\n sys.stdout.buffer.write({frame!r} * 3)\n return 'true'"
    pieces: Pieces = []
    result = run_sync(source=source, on_output=lambda *piece: pieces.append(piece))
    assert result["result"] == "true"
    assert printed(pieces) == frame * 3


@pytest.mark.parametrize("data", [b"\xff\xfe\x00" * 1000, b"\x00" * 100_000, "é".encode() * 70_000, b"{" * 9])
def test_bytes_come_out_as_they_were_printed(data: bytes) -> None:
    pieces: Pieces = []
    result = run_sync(
        source="import base64, sys\ndef main(text):\n for out in (sys.stdout, sys.stderr):"
        "\n  out.buffer.write(base64.b64decode(text)); out.flush()",
        args=[base64.b64encode(data).decode()],
        on_output=lambda *piece: pieces.append(piece),
    )
    assert result["success"]
    assert (printed(pieces), printed(pieces, "stderr")) == (data, data)


def test_a_print_without_newline_holds_nobody_up() -> None:
    pieces: Pieces = []
    source = "import time\ndef main():\n print('?', end='', flush=True)\n time.sleep(0.1)\n return 1"
    assert run_sync(source=source, on_output=lambda *piece: pieces.append(piece), timeout=30)["result"] == 1
    assert printed(pieces) == b"?"
    pieces.clear()
    assert run_sync(source="def main(): print('!', end='')", on_output=lambda *p: pieces.append(p))["success"]
    assert printed(pieces) == b"!"


def test_a_gigabyte_of_output_is_cut_and_told(worker: Worker) -> None:
    source = """
from capsule import task

@task(compute=200_000_000_000, timeout="2m")
def main():
    piece = "x" * (1 << 20)
    for _ in range(1024):
        print(piece, end="")
    return "done"
"""
    count = 0

    def hear(channel: str, data: bytes) -> None:
        nonlocal count
        count += len(data)

    result = run_sync(source=source, on_output=hear, timeout=120)
    assert (result["result"], result["execution"].get("output_truncated")) == ("done", True)
    assert count == 10 << 20
    assert result["execution"]["ram_used"] < 100 << 20
    # Neither side kept it.
    peak = Path(f"/proc/{worker.pid}/status").read_text().split("VmHWM:")[1].split()[0]
    assert int(peak) < 400_000
    assert run_sync(source="")["success"]


def test_a_result_that_this_interpreter_cannot_hold_harms_nobody() -> None:
    # What a guest returns is text of its own making, if it wants.
    forge = """
import sys
def main(text):
    module = sys.modules["guest.values"]
    module.encode = lambda value, what="": text
"""
    for text in ("[" * 100_000 + "]" * 100_000, "1" * 5000):
        try:
            result = run_sync(source=forge, args=[text])
        except Exception as error:
            assert type(error).__name__ == "WorkerError"
            assert "cannot be read" in str(error)
        else:
            assert not result["success"]
    assert run_sync(source="def main(): return 1")["result"] == 1


# --- the protocol itself ---


class Raw:
    """A worker that is spoken to without this package."""

    def __init__(self, binary: str) -> None:
        self.process = subprocess.Popen([binary, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        hello = self.hear()
        assert hello is not None
        assert hello["hello"]["protocol"] == 1

    def say(self, data: bytes) -> None:
        self.input.write(len(data).to_bytes(4, "big") + data)
        self.input.flush()

    def ask(self, **fields: object) -> None:
        self.say(json.dumps(fields).encode())

    def hear(self) -> dict[str, Any] | None:
        header = self.output.read(4)
        if not header:
            return None
        frame: dict[str, Any] = json.loads(self.output.read(int.from_bytes(header, "big")))
        return frame

    def end(self) -> int:
        self.input.close()
        return self.process.wait(10)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{}", b'"run"', b"\xff\xff", b"{" * 1000, b'{"id":1}', b'{"id":1,"op":"no"}',
        b'{"id":1,"op":"run","surprise":1}', b'{"id":1.5,"op":"run"}', b'{"id":-1,"op":"run"}',
        b'{"id":99999999999999999999999,"op":"run"}', b'{"id":1,"op":"run","args":{}}',
        b'{"id":1,"op":"run","kwargs":[]}', b'{"id":1,"op":"run","mounts":[""]}', b'{"id":1,"op":"evaluate"}',
        b'{"id":1,"op":"close"}', b'{"id":1,"op":"import","session":"s"}', b'{"id":1,"id":2,"op":"run"}',
        b'{"id":1,"op":"run","file":"\\ud800"}', b'{"id":1,"op":"run","args":' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_nonsense_is_answered_and_the_worker_goes_on(binary: str, data: bytes) -> None:
    raw = Raw(binary)
    raw.say(data)
    answer = raw.hear()
    assert answer is not None
    assert str(answer["error"]["code"]).startswith("E10")
    raw.ask(id=7, op="run", source="def main(): return 7")
    answer = raw.hear()
    assert answer is not None
    assert answer["id"] == 7
    assert answer["envelope"]["result"] == 7
    assert raw.end() == 0


def test_a_frame_without_end_is_no_memory(binary: str) -> None:
    raw = Raw(binary)
    raw.input.write(b"\xff\xff\xff\xff")
    raw.input.flush()
    answer = raw.hear()
    assert answer is not None
    assert answer["error"]["code"] == "E1001"
    assert raw.hear() is None
    assert raw.process.wait(10) == 1


def test_random_bytes_end_it_cleanly_or_are_answered(binary: str) -> None:
    chance = random.Random(4)
    for _ in range(30):
        process = subprocess.Popen(
            [binary, "worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        junk = b"".join(
            chance.choice(
                [b"\0\0\0", b"\x02{}", b'{"id":1,"op":"run"}', chance.randbytes(chance.randrange(40))]
            )
            for _ in range(8)
        )
        _, told = process.communicate(junk, timeout=30)
        assert process.returncode in (0, 1), junk
        assert b"panic" not in told, junk


def test_a_number_that_is_under_way_is_refused(binary: str) -> None:
    raw = Raw(binary)
    raw.ask(id=1, op="run", source="import time\ndef main():\n time.sleep(0.5)\n return 'first'")
    raw.ask(id=1, op="run", source="def main(): return 'second'")
    answers = [raw.hear(), raw.hear()]
    assert [sorted(answer) for answer in answers if answer] == [["error", "id"], ["envelope", "id"]]
    assert answers[1] is not None
    assert answers[1]["envelope"]["result"] == "first"
    assert raw.end() == 0


LOOP = "from capsule import task\n@task(compute='HIGH')\ndef main():\n while True: pass"


def test_everything_ends_with_the_input(binary: str) -> None:
    raw = Raw(binary)
    for number in range(4):
        raw.ask(id=number, op="run", source=LOOP)
    time.sleep(0.3)
    started = time.monotonic()
    assert raw.end() == 0
    assert time.monotonic() - started < 2


def test_everything_ends_when_nobody_reads(binary: str) -> None:
    raw = Raw(binary)
    raw.ask(id=1, op="run", source=LOOP)
    raw.output.close()
    assert raw.process.wait(10) == 0


PARENT = """
import subprocess, sys
# Whoever holds the other end of the worker's input lives on.
worker = subprocess.Popen([sys.argv[1], "worker"], stdin=0, stdout=subprocess.PIPE)
print(worker.pid, flush=True)
worker.wait()
"""


def test_it_ends_with_its_parent_though_its_input_stays_open(binary: str) -> None:
    reading, writing = os.pipe()
    parent = subprocess.Popen([sys.executable, "-c", PARENT, binary], stdin=reading, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        assert is_alive(pid)
        parent.kill()
        parent.wait(5)
        gone_within(pid, 5)
    finally:
        os.close(reading)
        os.close(writing)


def test_an_idle_worker_burns_nothing(worker: Worker) -> None:
    time.sleep(0.2)
    before = cpu_seconds(worker.pid)
    time.sleep(1)
    assert cpu_seconds(worker.pid) - before <= 0.02
