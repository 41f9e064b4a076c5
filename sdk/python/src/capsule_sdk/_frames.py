"""The frames of a WebSocket (RFC 6455), seen from the client. Does no I/O."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import ProtocolError

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "TEXT", "Frame", "Incoming", "accept_of", "pack", "pack_close"]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0
#: Longest message; the server's are 1 MiB at most.
MOST = 16 << 20
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Frame:
    """A whole message, or a control frame."""

    kind: int
    data: bytes

    @property
    def closing(self) -> tuple[int, str]:
        """Code and reason of a close frame."""
        if len(self.data) < 2:
            return 1005, ""
        return int(struct.unpack("!H", self.data[:2])[0]), self.data[2:].decode("utf-8", "replace")


def accept_of(key: str) -> str:
    """What a server proves with that it read the key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()


def pack(kind: int, data: bytes) -> bytes:
    """A frame as a client sends it: masked, so that no proxy takes it for something else."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, size)
    mask = os.urandom(4)
    long = int.from_bytes((mask * (size // 4 + 1))[:size])
    return head + mask + (int.from_bytes(data) ^ long).to_bytes(size)


def pack_close(code: int) -> bytes:
    """The last frame."""
    return pack(CLOSE, struct.pack("!H", code))


class Incoming:
    """What has come of a socket."""

    def __init__(self, early: bytes) -> None:
        self._rest = bytearray(early)
        self._kind = 0
        self._parts = bytearray()

    def add(self, piece: bytes) -> None:
        """Takes what was read."""
        self._rest += piece

    def frames(self) -> Iterator[Frame]:
        """What is complete."""
        while (found := self._next()) is not None:
            is_last, kind, data = found
            if kind >= CLOSE:
                yield Frame(kind, data)
                continue
            if (kind == _CONTINUATION) != (self._kind != 0):
                raise ProtocolError("the server sent the parts of a message in disorder")
            self._kind = kind or self._kind
            self._parts += data
            if len(self._parts) > MOST:
                raise ProtocolError("the server sent a message without end")
            if is_last:
                whole = Frame(self._kind, bytes(self._parts))
                self._kind, self._parts = 0, bytearray()
                yield whole

    def _next(self) -> tuple[bool, int, bytes] | None:
        rest = self._rest
        if len(rest) < 2:
            return None
        first, size = rest[0], rest[1]
        # Reserved bits belong to extensions, and a server does not mask.
        if first & 0x70 or size & 0x80:
            raise ProtocolError("the server sent a frame that is none")
        begin = 2
        if size >= 126:
            width = 2 if size == 126 else 8
            begin += width
            if len(rest) < begin:
                return None
            size = int.from_bytes(rest[2:begin])
        if size > MOST:
            raise ProtocolError("the server sent a frame without end")
        if len(rest) < begin + size:
            return None
        data = bytes(rest[begin : begin + size])
        del rest[: begin + size]
        return bool(first & 0x80), first & 0x0F, data
