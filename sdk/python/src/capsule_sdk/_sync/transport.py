# Made from _async/transport.py by generate_sync.py. Change that one.
"""From requests to answers: connections that are used again, deadlines, retries."""

from __future__ import annotations

import json
import os
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Callable, Mapping
from typing import Any, NoReturn

from .._calls import command_time, is_idempotent
from .._deadline import Deadline
from .._http import Address, Head, request_head
from .._output import loads
from ..errors import ConnectionFailed, ProtocolError, RequestRefused, SandboxError
from .connection import Answer, Connection
from .stream import Stream, pause

__all__ = ["Transport"]

#: The server closes a connection that rests for 15 seconds.
_RESTS = 10.0
_MOST_IDLE = 16
#: Longest answer that is held in memory. The server's own limits are lower.
MOST_ANSWER = 256 << 20


class Transport:
    """The way to one server."""

    def __init__(
        self,
        address: Address,
        *,
        api_key: str | None,
        deadline_ms: float,
        silence_ms: float,
        retries: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.address = address
        self.deadline_ms = deadline_ms
        self.silence_ms = silence_ms
        self.api_key = api_key
        self._retries = retries
        self._tls = tls if tls is not None or not address.is_tls else ssl.create_default_context()
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        self._process = os.getpid()
        self._is_closed = False

    # --- calls of JSON-RPC ---

    def call(self, method: str, params: Mapping[str, Any], deadline_ms: float | None) -> Any:
        """The result of a call."""
        deadline = self._deadline(method, params, deadline_ms)
        request_id, head, body = self._request(method, params)

        def once() -> Any:
            answer = self._ask(head, body, deadline)
            data = self._whole(answer, deadline)
            return _result(answer.head, data)

        return self._repeat(once, is_idempotent(method, params), deadline, request_id)

    def stream(self, method: str, params: Mapping[str, Any], deadline_ms: float | None) -> Answer:
        """The beginning of an answer that is a stream of events."""
        deadline = self._deadline(method, params, deadline_ms)
        request_id, head, body = self._request(method, params)

        def once() -> Answer:
            answer = self._ask(head, body, deadline)
            if answer.head.status == 200 and answer.head.kind == "text/event-stream":
                return answer
            _result(answer.head, self._whole(answer, deadline))
            raise ProtocolError("the server answered without a stream")

        answer: Answer = self._repeat(once, is_idempotent(method, params), deadline, request_id)
        return answer

    def _deadline(self, method: str, params: Mapping[str, Any], deadline_ms: float | None) -> Deadline:
        given = self.deadline_ms + command_time(method, params) if deadline_ms is None else deadline_ms
        return Deadline(given, method)

    def _request(self, method: str, params: Mapping[str, Any]) -> tuple[str, bytes, bytes]:
        request_id = uuid.uuid4().hex
        call = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        body = json.dumps(call, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body))}
        return request_id, self.head("POST", "/rpc", headers, request_id), body

    # --- plain HTTP ---

    def get(
        self, target: str, headers: Mapping[str, str], deadline_ms: float | None, what: str
    ) -> Answer:
        """An answer to GET, whose body is to be read."""
        deadline = Deadline(self.deadline_ms if deadline_ms is None else deadline_ms, what)
        request_id = uuid.uuid4().hex
        head = self.head("GET", target, headers, request_id)

        def once() -> Answer:
            answer = self._ask(head, b"", deadline)
            if answer.head.status not in (200, 206):
                refuse(answer.head, self._whole(answer, deadline))
            return answer

        opened: Answer = self._repeat(once, True, deadline, request_id)
        return opened

    def put(
        self,
        target: str,
        pieces: Iterator[bytes],
        length: int | None,
        deadline_ms: float | None,
        what: str,
    ) -> bytes:
        """Sends what comes in pieces. Not repeated: pieces come once. The deadline is that of
        the answer after the last piece; each piece has to leave within the limit of silence."""
        request_id = uuid.uuid4().hex
        framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        headers = {"content-type": "application/octet-stream", "expect": "100-continue", **framing}
        head = self.head("PUT", target, headers, request_id)
        connection: Connection | None = None
        try:
            # A new one: if one that rested were closed just now, the pieces would be lost with it.
            opening = Deadline(self.deadline_ms, what)
            connection = self._repeat(lambda: self.open(opening), True, opening, request_id)
            assert connection is not None
            connection.upload(head, pieces, length is None, lambda: Deadline(self.silence_ms, what))
            deadline = Deadline(self.deadline_ms if deadline_ms is None else deadline_ms, what)
            answer = Answer(connection, connection.head(deadline), self._rest)
            data = self._whole(answer, deadline)
            if answer.head.status != 200:
                refuse(answer.head, data)
            return data
        except BaseException as error:
            if connection is not None:
                connection.close()
            _name(error, request_id)
            raise

    def whole(self, answer: Answer, deadline_ms: float | None, what: str) -> bytes:
        """The rest of an answer."""
        deadline = Deadline(self.deadline_ms if deadline_ms is None else deadline_ms, what)
        return self._whole(answer, deadline)

    def _whole(self, answer: Answer, deadline: Deadline) -> bytes:
        try:
            return answer.whole(MOST_ANSWER, deadline)
        finally:
            answer.close()

    # --- connections ---

    def head(self, method: str, target: str, headers: Mapping[str, str], request_id: str) -> bytes:
        """The head of a request, with what all have in common."""
        common = {"host": self.address.authority, "x-request-id": request_id}
        if self.api_key is not None:
            common["authorization"] = f"Bearer {self.api_key}"
        return request_head(method, self.address.prefix + target, {**common, **headers})

    def open(self, deadline: Deadline) -> Connection:
        """A connection of its own, for whoever keeps it."""
        if self._is_closed:
            raise RuntimeError("the client is closed")
        return Connection(Stream.open(self.address, self._tls, deadline))

    def _connection(self, deadline: Deadline) -> Connection:
        while (known := self._take()) is not None:
            if known.is_usable() and time.monotonic() - known.rests_since < _RESTS:
                return known
            known.close()
        return self.open(deadline)

    def _take(self) -> Connection | None:
        with self._guard:
            if self._process != os.getpid():
                # After a fork they belong to the parent.
                self._process, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None

    def _rest(self, connection: Connection) -> None:
        connection.rests_since = time.monotonic()
        with self._guard:
            if not self._is_closed and len(self._idle) < _MOST_IDLE and self._process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()

    def _ask(self, head: bytes, body: bytes, deadline: Deadline) -> Answer:
        connection = self._connection(deadline)
        try:
            connection.send(head, body, deadline)
            return Answer(connection, connection.head(deadline), self._rest)
        except BaseException:
            # Given up, cancelled, or not understood: nothing else goes over it.
            connection.close()
            raise

    def _repeat(
        self, once: Callable[[], Any], is_safe: bool, deadline: Deadline, request_id: str
    ) -> Any:
        attempt = 0
        while True:
            try:
                return once()
            except ConnectionFailed as error:
                wait = 0.1 * 4**attempt
                may = error.nothing_sent or is_safe
                if not may or attempt >= self._retries or deadline.is_over or deadline.left() < wait:
                    _name(error, request_id)
                    raise
                attempt += 1
            except BaseException as error:
                _name(error, request_id)
                raise
            pause(wait)

    def close(self) -> None:
        """Closes the connections that rest."""
        with self._guard:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        # A client that is forgotten leaves no socket behind.
        if hasattr(self, "_idle"):
            self.close()


def _name(error: BaseException, request_id: str) -> None:
    if isinstance(error, SandboxError):
        error.request_id = request_id


def refuse(head: Head, data: bytes) -> NoReturn:
    """Raises what an answer other than 200 means."""
    if head.kind == "application/json":
        told = loads(data)
        if isinstance(told, dict) and "error" in told:
            raise RequestRefused.of(told["error"])
    raise ProtocolError(f"the server answered with HTTP status {head.status}")


def _result(head: Head, data: bytes) -> Any:
    if head.status != 200:
        refuse(head, data)
    told = loads(data)
    if isinstance(told, dict):
        if "error" in told:
            raise RequestRefused.of(told["error"])
        if "result" in told:
            return told["result"]
    raise ProtocolError("what the server sent is no answer of JSON-RPC")
