"""The worker of this process: one ``capsule worker`` for each binary, shared by every
thread and event loop, started when it is first needed and again after it has died.

Requests are written by whoever makes them. One thread reads what comes back and hands
each frame, unread, to the one who waits for it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from . import _protocol, _values
from ._protocol import Frame
from .errors import WorkerError

__all__ = ["Worker", "shared"]

#: Hears what was printed. See :func:`capsule.run`.
OutputHandler = Callable[[_protocol.Channel, bytes], object]
_PIECE = 256 * 1024
#: A request of more bytes is written by another thread: a pipe may hold no more.
_SMALL = 48 * 1024


class _Waiter(Protocol):
    """Whoever waits for the answer to a request."""

    #: It does not wait any more.
    is_gone: bool
    #: The request was written.
    is_sent: bool

    def hear(self, frame: Frame | WorkerError) -> None:
        """Takes a frame, in the reading thread."""


class _LoopWaiter:
    """A coroutine that waits."""

    def __init__(self, on_output: OutputHandler | None) -> None:
        self.is_gone = self.is_sent = False
        self.loop = asyncio.get_running_loop()
        self._on_output = on_output
        self.answer: asyncio.Future[Frame] = self.loop.create_future()

    def hear(self, frame: Frame | WorkerError) -> None:
        wake(self.loop, [(self, frame)])

    def take(self, frame: Frame | WorkerError) -> None:
        if self.answer.done():
            return
        if isinstance(frame, WorkerError):
            self.answer.set_exception(frame)
        elif not frame.is_output:
            self.answer.set_result(frame)
        elif self._on_output is not None:
            try:
                self._on_output(*_protocol.piece(frame))
            except Exception as error:
                self.answer.set_exception(error)


def wake(loop: asyncio.AbstractEventLoop, heard: list[tuple[_LoopWaiter, Frame | WorkerError]]) -> None:
    """Hands frames to the coroutines of a loop; waking it costs more than a frame."""

    def take() -> None:
        for waiter, frame in heard:
            waiter.take(frame)

    # A loop that was closed waits for nothing.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(take)


class _ThreadWaiter:
    """A thread that waits."""

    def __init__(self) -> None:
        self.is_gone = self.is_sent = False
        self._frames: queue.SimpleQueue[Frame | WorkerError] = queue.SimpleQueue()

    def hear(self, frame: Frame | WorkerError) -> None:
        self._frames.put(frame)

    def wait(self, on_output: OutputHandler | None, timeout: float | None) -> Frame:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            try:
                frame = self._frames.get(timeout=left)
            except queue.Empty:
                raise TimeoutError(f"no answer within {timeout} s") from None
            if isinstance(frame, WorkerError):
                raise frame
            if not frame.is_output:
                return frame
            if on_output is not None:
                on_output(*_protocol.piece(frame))


class Worker:
    """One ``capsule worker``."""

    def __init__(self, binary: str) -> None:
        self.binary = binary
        self.is_dead = False
        self._end_told = WorkerError("the worker has ended", retryable=True)
        self._writing = threading.Lock()
        self._waiting: dict[int, _Waiter] = {}
        self._next = 0
        # What it inherits.
        self._environment = dict(_environment())
        try:
            self._process = subprocess.Popen(
                [binary, "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                # The terminal's Ctrl-C is for this process, which may still need the worker.
                process_group=0,
            )
        except OSError as error:
            raise WorkerError(f"{binary} cannot be started: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        self._reader = threading.Thread(target=self._read, name="capsule-worker", daemon=True)
        self._reader.start()

    # --- asking ---

    async def ask(self, request: str, on_output: OutputHandler | None) -> Frame:
        """The answer to a request; cancelled, it ends what it asked for."""
        waiter = _LoopWaiter(on_output)
        number = 0
        try:
            if len(request) > _SMALL:
                number = self._register(waiter)
                await asyncio.to_thread(self._send, number, request, waiter)
            else:
                number = self._register(waiter)
                self._send(number, request, waiter)
            return await waiter.answer
        finally:
            self._forget(number, waiter)

    def ask_and_wait(self, request: str, on_output: OutputHandler | None, timeout: float | None) -> Frame:
        """As :meth:`ask`, for a thread."""
        waiter = _ThreadWaiter()
        number = self._register(waiter)
        try:
            self._send(number, request, waiter)
            return waiter.wait(on_output, timeout)
        finally:
            self._forget(number, waiter)

    def tell(self, request: str) -> None:
        """Asks, and does not wait for the answer."""
        with contextlib.suppress(WorkerError):
            number = self._register(None)
            self._send(number, request, None)

    def _register(self, waiter: _Waiter | None) -> int:
        with self._writing:
            if self.is_dead:
                raise self._end_told.again()
            self._next += 1
            if waiter is not None:
                self._waiting[self._next] = waiter
            return self._next

    def _send(self, number: int, request: str, waiter: _Waiter | None) -> None:
        frame = _protocol.pack(f'{{"id":{number},{request}}}')
        with self._writing:
            if waiter is not None:
                if waiter.is_gone:
                    return
                waiter.is_sent = True
            self._write(self._changed_environment() + frame)

    def _forget(self, number: int, waiter: _Waiter) -> None:
        with self._writing:
            waiter.is_gone = True
            is_underway = self._waiting.pop(number, None) is not None
            if is_underway and waiter.is_sent and not self.is_dead:
                self._write(_protocol.pack(f'{{"id":{number},"op":"cancel"}}'))

    def _write(self, data: bytes) -> None:
        """With the lock held. The worker reads all the time, so this does not last."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._input, view) :]
        except OSError:
            # The reading thread tells everybody.
            pass

    def _changed_environment(self) -> bytes:
        """What tasks may ask for is what this process has now, not what it had at the start."""
        current = _environment()
        if current == self._environment:
            return b""
        self._environment = dict(current)
        names = {name: value for name, value in os.environ.items() if _is_text(name) and _is_text(value)}
        return _protocol.pack(f'"op":"environment","variables":{json.dumps(names)}'.join("{}"))

    # --- hearing ---

    def _read(self) -> None:
        incoming = _protocol.Incoming()
        problem = ""
        is_first = True
        try:
            while data := os.read(self._output, _PIECE):
                frames = incoming.add(data)
                if is_first and (first := next(frames, None)) is not None:
                    _check_hello(first)
                    is_first = False
                self._hand_over(frames)
        except (OSError, ValueError) as error:
            problem = str(error)
        self._end(problem, is_first)

    def _hand_over(self, frames: Iterator[Frame]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[tuple[_LoopWaiter, Frame | WorkerError]]] = {}
        for frame in frames:
            if frame.request is None:
                continue
            # Both are atomic; whoever stops waiting takes the entry away.
            waiting = self._waiting
            waiter = waiting.get(frame.request) if frame.is_output else waiting.pop(frame.request, None)
            if isinstance(waiter, _LoopWaiter):
                loops.setdefault(waiter.loop, []).append((waiter, frame))
            elif waiter is not None:
                waiter.hear(frame)
        for loop, heard in loops.items():
            wake(loop, heard)

    def _end(self, problem: str, said_nothing: bool) -> None:
        """The worker is gone, or of no use."""
        self._process.kill()
        code = self._process.wait()
        hint = f"is {self.binary} the capsule binary that belongs to this package?" if said_nothing else ""
        how = problem or (f"signal {-code}" if code < 0 else f"exit code {code}")
        with self._writing:
            self._end_told = WorkerError(f"the worker ended: {how}", hint=hint, retryable=not said_nothing)
            self.is_dead = True
            waiting, self._waiting = self._waiting, {}
            self._close_pipes()
        if _is_leaving:
            # Whoever still waits is a daemon thread, and ends with the process, without a word.
            return
        for waiter in waiting.values():
            waiter.hear(self._end_told.again())

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    # --- leaving ---

    def close(self) -> None:
        """Ends it, and everything that runs in it."""
        with self._writing:
            if not self.is_dead and self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
        self._reader.join(timeout=1)
        if self._reader.is_alive():
            self._process.kill()
            self._reader.join(timeout=1)

    def abandon(self) -> None:
        """In a forked child: the worker is the parent's."""
        self.is_dead = True
        self._process.returncode = 0
        self._close_pipes()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid


def _check_hello(frame: Frame) -> None:
    hello: Any = json.loads(frame.text).get("hello", {})
    if hello.get("protocol") != _protocol.PROTOCOL:
        raise ValueError(f"it speaks protocol {hello.get('protocol')}, this package {_protocol.PROTOCOL}")


def _environment() -> dict[Any, Any]:
    # Comparing the mapping's own dictionary costs a microsecond, a copy forty.
    raw: dict[Any, Any] | None = getattr(os.environ, "_data", None)
    return dict(os.environ) if raw is None else raw


def _is_text(value: str) -> bool:
    # Bytes that are not UTF-8 come as surrogates; tasks see text only.
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def field(name: str, value: object) -> str:
    """A field of a request."""
    return f'"{name}":{_values.encode(value, name)}'


# --- the workers of this process ---

_workers: dict[str, Worker] = {}
_lock = threading.Lock()
#: The interpreter ends.
_is_leaving = False


def shared(binary: str) -> Worker:
    """The worker of this process; a dead one is replaced."""
    worker = _workers.get(binary)
    if worker is not None and not worker.is_dead:
        return worker
    with _lock:
        worker = _workers.get(binary)
        if worker is None or worker.is_dead:
            worker = _workers[binary] = Worker(binary)
        return worker


@atexit.register
def _close_all() -> None:
    global _is_leaving
    _is_leaving = True
    with _lock:
        workers = list(_workers.values())
        _workers.clear()
    for worker in workers:
        worker.close()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for worker in _workers.values():
        worker.abandon()
    _workers.clear()


os.register_at_fork(after_in_child=_after_fork)
