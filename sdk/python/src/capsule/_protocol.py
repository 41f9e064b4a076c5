"""Frames of ``capsule worker``: four bytes of length, big-endian, and as much JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

__all__ = ["MOST", "PROTOCOL", "Channel", "Frame", "Incoming", "pack", "piece"]

#: The largest frame, either way.
MOST = 64 * 1024 * 1024
#: The version that this package speaks.
PROTOCOL = 1

Channel = Literal["stdout", "stderr"]


class Frame(NamedTuple):
    """A frame that came in: whom it is for, and its JSON, not read yet.

    What a guest returned is in there. It is read by the one who asked for it, so that
    nothing it may hold can disturb the others.
    """

    request: int | None
    is_output: bool
    text: bytes


def pack(body: str) -> bytes:
    """A frame to send."""
    data = body.encode("utf-8", "surrogatepass")
    if len(data) > MOST:
        raise ValueError(
            f"the request has {len(data)} bytes; at most {MOST} can be sent: pass a file instead"
        )
    return len(data).to_bytes(4, "big") + data


class Incoming:
    """Bytes that came in, until they are frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now."""
        self._bytes += data
        start = 0
        while len(self._bytes) - start >= 4:
            length = int.from_bytes(self._bytes[start : start + 4], "big")
            if length > MOST:
                raise ValueError("the worker sent something else than frames")
            if len(self._bytes) - start - 4 < length:
                break
            text = bytes(self._bytes[start + 4 : start + 4 + length])
            start += 4 + length
            yield _frame(text)
        del self._bytes[:start]


def _frame(text: bytes) -> Frame:
    # The worker writes the id first, as a plain number.
    head, _, rest = text[:40].partition(b",")
    name, _, number = head.partition(b":")
    if name != b'{"id"' or not number.isdigit():
        return Frame(None, False, text)
    return Frame(int(number), rest.startswith(b'"output":'), text)


def piece(frame: Frame) -> tuple[Channel, bytes]:
    """Where a frame of output goes, and what was printed."""
    output: dict[str, Any] = json.loads(frame.text)["output"]
    channel: Channel = "stderr" if output["channel"] == "stderr" else "stdout"
    if "base64" in output:
        return channel, base64.b64decode(output["base64"])
    return channel, output["text"].encode("utf-8", "surrogatepass")
