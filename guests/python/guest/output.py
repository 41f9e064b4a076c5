"""print: straight to the host, without a file descriptor."""

import io
import sys

from wit_world.imports import host

_CHUNK = 64 * 1024
#: Bytes that are passed on in one call of the host: it keeps fewer of a whole run, and what
#: is passed to it takes memory of this sandbox until the call is over.
_MOST = 16 * 1024 * 1024
_passed = 0


class _Raw(io.RawIOBase):
    def __init__(self, channel: int) -> None:
        self._channel = channel
        self.name = ("<stdout>", "<stderr>")[channel - 1]
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._channel

    def isatty(self) -> bool:
        return False

    def write(self, data) -> int:
        global _passed
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _CHUNK):
            if _passed >= _MOST:
                if _passed == _MOST:
                    # Nothing at all says that something was dropped.
                    host.emit(self._channel, b"")
                    _passed += 1
                break
            piece = bytes(view[start : min(start + _CHUNK, start + _MOST - _passed)])
            host.emit(self._channel, piece)
            _passed += len(piece)
        return len(view)


def _stream(channel: int) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(_Raw(channel), 8192)
    # stderr tells what happened even if the next line traps.
    return io.TextIOWrapper(buffered, "utf-8", "backslashreplace", line_buffering=True, write_through=channel == 2)


def install() -> None:
    """Makes them the streams of the interpreter."""
    sys.stdout = sys.__stdout__ = _stream(1)
    sys.stderr = sys.__stderr__ = _stream(2)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(), "utf-8")


def flush() -> None:
    """At the end of a call: gives the host what is still buffered. A broken stream of the user's is the user's."""
    global _passed
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    _passed = 0
