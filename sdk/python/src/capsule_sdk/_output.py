"""From server-sent events to typed ones. Does no I/O."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from typing import Any, Literal

from ._types import Exit, FileEvent, OutputEvent, read
from .errors import ProtocolError, RequestRefused

__all__ = ["Output", "changes_of", "loads", "state_of"]


def loads(text: str | bytes) -> Any:
    """JSON of the server."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("what the server sent is not JSON") from None


def _object(data: str, name: str) -> dict[str, Any]:
    value = loads(data)
    if isinstance(value, dict) and "error" in value:
        raise RequestRefused.of(value["error"])
    # The event's name is the name of its only field.
    inner = value.get(name) if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        raise ProtocolError(f"the server sent an event {name!r} that is none")
    return inner


class Output:
    """Reads the output of one process: it remembers where it is."""

    def __init__(self, offset: int) -> None:
        self.next = offset
        self.process: int | None = None
        self.is_over = False
        decoder = codecs.getincrementaldecoder("utf-8")
        self._text = {"stdout": decoder("replace"), "stderr": decoder("replace")}

    def read(self, name: str, data: str) -> OutputEvent | None:
        """The event; none if it is of a kind that this package does not know."""
        if name not in ("started", "stdout", "stderr", "gap", "exit"):
            return None
        fields = _object(data, name)
        if name == "started":
            self.process = _number(fields, "process")
            return OutputEvent(kind="started", process=self.process)
        if name == "exit":
            self.is_over = True
            return OutputEvent(kind="exit", process=self.process, exit=read(Exit, fields))
        self.next = _number(fields, "next")
        if name == "gap":
            return OutputEvent(
                kind="gap", process=self.process, bytes=_number(fields, "bytes"), next=self.next
            )
        channel: Literal["stdout", "stderr"] = "stdout" if name == "stdout" else "stderr"
        try:
            piece = base64.b64decode(fields.get("data", ""), validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise ProtocolError("the server sent output that is not base64") from None
        text = self._text[channel].decode(piece)
        return OutputEvent(kind=channel, process=self.process, data=piece, text=text, next=self.next)


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolError(f"the server sent an event without {name}")
    return value


def state_of(data: str) -> str:
    """The state in an event of ``sandbox.v1.watch``."""
    value = loads(data)
    state = value.get("state") if isinstance(value, dict) else None
    if not isinstance(state, str):
        raise ProtocolError("the server sent a state that is none")
    return state


def changes_of(name: str, data: str) -> FileEvent | None:
    """An event of ``sandbox.v1.watchDir``."""
    if name == "gap":
        return FileEvent(kind="gap")
    if name != "file":
        return None
    value = loads(data)
    inner = value.get("file", value) if isinstance(value, dict) else value
    return read(FileEvent, inner)
