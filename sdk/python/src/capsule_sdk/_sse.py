"""Server-sent events, from bytes."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import ProtocolError

__all__ = ["Incoming"]

#: Longest event. The server's are far shorter.
MOST_EVENT = 8 << 20


class Incoming:
    """What has come of a stream. The server ends its lines with a line feed."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def add(self, piece: bytes) -> Iterator[tuple[str, str]]:
        """Takes a piece, and gives the events that it completes: name and data."""
        self._rest += piece
        begin = 0
        while (end := self._rest.find(b"\n", begin)) >= 0:
            line = self._rest[begin:end].removesuffix(b"\r").decode("utf-8", "replace")
            begin = end + 1
            if (event := self._line(line)) is not None:
                yield event
        del self._rest[:begin]
        if len(self._rest) + self._size > MOST_EVENT:
            raise ProtocolError("the server sent an event without end")

    def _line(self, line: str) -> tuple[str, str] | None:
        if not line:
            event = (self._name, "\n".join(self._data)) if self._data else None
            self._name, self._data, self._size = "", [], 0
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
            self._size += len(value)
        return None
