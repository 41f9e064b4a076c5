"""Frames to and from the host, for all threads of the program.

One thread reads, once anything was asked for; whoever asked waits for it.
"""

import _thread
import json
import os


class TooLarge(ValueError):
    """More than a frame can hold."""

    def __init__(self, what: str, size: int) -> None:
        super().__init__(f"{what} is {size} bytes of JSON; the most is {Channel.MOST}")


class Answer:
    """What the host will say to one question."""

    def __init__(self) -> None:
        self._here = _thread.allocate_lock()
        self._here.acquire()
        self._change = _thread.allocate_lock()
        self._listeners: list | None = []
        self.value = None

    def settle(self, value) -> bool:
        """Says whether it was the first to."""
        with self._change:
            if self._listeners is None:
                return False
            self.value = value
            listeners, self._listeners = self._listeners, None
        self._here.release()
        for listener in listeners:
            listener()
        return True

    def is_here(self) -> bool:
        return self._listeners is None

    def wait(self, seconds: float | None = None) -> bool:
        """Says whether it came in time."""
        if self._listeners is None:
            return True
        most = -1 if seconds is None else min(max(0.0, seconds), _thread.TIMEOUT_MAX)
        if not self._here.acquire(timeout=most):
            return False
        # For the next one who waits.
        self._here.release()
        return True

    def listen(self, listener) -> None:
        """Has `listener` called when it comes, by the thread that reads."""
        with self._change:
            if self._listeners is not None:
                self._listeners.append(listener)
                return
        listener()


class Channel:
    #: Bytes of one frame.
    MOST = 64 * 1024 * 1024

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._process = os.getpid()
        self._lock = _thread.allocate_lock()
        self._is_over = False
        self._is_read = False
        self._last = 0
        self._asked: dict[int, Answer] = {}

    def is_mine(self) -> bool:
        """Whether this is the process that the host started, and not one that it forked."""
        return os.getpid() == self._process

    def send(self, message) -> None:
        """Sends one frame of what JSON can hold."""
        self._send(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))

    def finish(self, *parts: bytes) -> None:
        """Sends the last frame, which is JSON already."""
        self._send(*parts)
        self._is_over = True

    def _send(self, *parts: bytes) -> None:
        size = sum(map(len, parts))
        if size > self.MOST:
            raise TooLarge("the message", size)
        if not self.is_mine():
            raise RuntimeError("a forked process cannot speak to the host")
        with self._lock:
            if self._is_over:
                raise RuntimeError("the task has returned")
            self._write(size.to_bytes(4, "big"), *parts)

    def _write(self, *parts: bytes) -> None:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(self._fd, view) :]

    def ask(self, kind: str, **question) -> tuple[int, Answer]:
        """Asks the host: the question's number, and where the answer will be."""
        answer = Answer()
        with self._lock:
            self._last += 1
            number = self._last
            self._asked[number] = answer
            is_first, self._is_read = not self._is_read, True
        try:
            self.send({kind: {"id": number, **question}})
        except BaseException:
            self._asked.pop(number, None)
            if is_first:
                self._is_read = False
            raise
        if is_first:
            _thread.start_new_thread(self._read, ())
        return number, answer

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more; the host ends what it does for it."""
        if self._asked.pop(number, None) is not None:
            self.send({"cancel": {"id": number}})

    def _read(self) -> None:
        while True:
            size = int.from_bytes(self._exactly(4), "big")
            told = json.loads(self._exactly(size))["answer"]
            answer = self._asked.pop(told["id"], None)
            if answer is not None:
                answer.settle(told)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = os.read(self._fd, min(count, 1 << 20))
            if not part:
                # The host is gone; so is this process in a moment.
                _thread.exit()
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
