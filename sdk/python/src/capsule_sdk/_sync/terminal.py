# Made from _async/terminal.py by generate_sync.py. Change that one.
"""A terminal over a WebSocket."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any, Self

from .. import _frames
from .._deadline import Deadline
from ..errors import ConnectionFailed, DeadlineExceeded, ProtocolError, RequestRefused
from .connection import Connection
from .stream import Lock
from .transport import MOST_ANSWER, Transport, refuse

__all__ = ["Terminal"]

_PIECE = 64 * 1024
#: The close code after the end of the process.
_ENDED = 1000


class Terminal:
    r"""A terminal of a sandbox: a shell of its own, or that of a process.

    ::

        with sandbox.connect_terminal() as terminal:
            terminal.send("ls\n")
            for data in terminal:
                print(data.decode(errors="replace"), end="")

    Reading and writing may go on at the same time.
    """

    def __init__(self, transport: Transport, connection: Connection) -> None:
        self._transport = transport
        self._connection = connection
        self._incoming = _frames.Incoming(connection.take_rest())
        self._writing = Lock()
        self._waiting: list[bytes] = []
        #: What the server closed it with: 1000 the process ended, 4001 the sandbox did, …
        self.close_code: int | None = None
        self.close_reason = ""

    @classmethod
    def open(cls, transport: Transport, target: str, deadline_ms: float | None) -> Terminal:
        """Connects. Not repeated: each opening starts a shell."""
        deadline = Deadline(transport.deadline_ms if deadline_ms is None else deadline_ms, "the terminal")
        key = base64.b64encode(os.urandom(16)).decode()
        request_id = uuid.uuid4().hex
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": key,
        }
        connection = transport.open(deadline)
        try:
            connection.send(transport.head("GET", target, headers, request_id), b"", deadline)
            head = connection.head(deadline)
            if head.status != 101:
                length = min(head.length or 0, MOST_ANSWER)
                data = b""
                while len(data) < length and (piece := connection.some(length, deadline)):
                    data += piece
                refuse(head, data)
            if head.headers.get("sec-websocket-accept") != _frames.accept_of(key):
                raise ProtocolError("the server does not speak WebSocket")
        except BaseException as error:
            connection.close()
            if isinstance(error, (RequestRefused, ProtocolError, ConnectionFailed, DeadlineExceeded)):
                error.request_id = request_id
            raise
        return cls(transport, connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def exit_code(self) -> int | None:
        """The exit code of its process, once that has ended."""
        word, _, number = self.close_reason.partition(" ")
        is_told = self.close_code == _ENDED and word == "exit" and number.lstrip("-").isdigit()
        return int(number) if is_told else None

    # --- sending ---

    def send(self, data: str | bytes, *, deadline_ms: float | None = None) -> None:
        """Types something."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        for begin in range(0, len(raw), _PIECE):
            self._send(_frames.BINARY, raw[begin : begin + _PIECE], deadline_ms)

    def resize(self, columns: int, rows: int, *, deadline_ms: float | None = None) -> None:
        """Changes its size."""
        self._command({"resize": {"columns": columns, "rows": rows}}, deadline_ms)

    def signal(self, number: int, *, deadline_ms: float | None = None) -> None:
        """Sends a signal to all that runs in it."""
        self._command({"signal": number}, deadline_ms)

    def _command(self, command: dict[str, Any], deadline_ms: float | None) -> None:
        self._send(_frames.TEXT, json.dumps(command).encode(), deadline_ms)

    def _send(self, kind: int, data: bytes, deadline_ms: float | None) -> None:
        if self.close_code is not None:
            raise ConnectionFailed("the terminal is closed")
        deadline = Deadline(
            self._transport.deadline_ms if deadline_ms is None else deadline_ms, "the terminal"
        )
        with self._writing:
            self._connection.stream.write(_frames.pack(kind, data), deadline)

    # --- receiving ---

    def receive(self, *, deadline_ms: float | None = None) -> bytes:
        """The next output; none when it is closed. What is silent is looked at: the server
        pings every 20 seconds.

        Raises:
            DeadlineExceeded: nothing came within ``deadline_ms``.
        """
        until = None if deadline_ms is None else Deadline(deadline_ms, "the terminal")
        while not self._waiting:
            if self.close_code is not None:
                return b""
            self._read(until)
        return self._waiting.pop(0)

    def _read(self, until: Deadline | None) -> None:
        silence = Deadline(self._transport.silence_ms, "the terminal")
        shorter = silence if until is None or until.left() > silence.left() else until
        try:
            piece = self._connection.stream.read(_PIECE, shorter)
        except ConnectionFailed:
            piece = b""
        self._incoming.add(piece)
        for frame in self._incoming.frames():
            if frame.kind in (_frames.BINARY, _frames.TEXT):
                self._waiting.append(frame.data)
            elif frame.kind == _frames.PING:
                self._send(_frames.PONG, frame.data, None)
            elif frame.kind == _frames.CLOSE:
                self.close_code, self.close_reason = frame.closing
                self._leave(_ENDED)
        if not piece and self.close_code is None:
            self.close_code = 1006

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if data := self.receive():
            return data
        raise StopIteration

    def close(self) -> None:
        """Closes it, and ends its shell."""
        if self.close_code is None:
            self.close_code = 1005
            self._leave(_ENDED)

    def _leave(self, code: int) -> None:
        try:
            with self._writing:
                self._connection.stream.write(_frames.pack_close(code), Deadline(2_000, "the terminal"))
        except (ConnectionFailed, DeadlineExceeded):
            pass
        finally:
            self._connection.close()
