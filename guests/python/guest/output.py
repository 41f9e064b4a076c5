"""print: straight to the host, without a file descriptor."""

import io
import sys

from wit_world.imports import host

from guest import room

_CHUNK = 64 * 1024


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
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _CHUNK):
            piece = str(view[start : start + _CHUNK], "latin-1")
            room.ensure(2 * len(piece))
            host.emit_latin(self._channel, piece)
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
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
