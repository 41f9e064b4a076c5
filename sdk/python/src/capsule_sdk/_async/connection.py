"""One connection, and the requests that go over it, one after the other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

from .._deadline import Deadline
from .._http import MOST_HEAD, Head, parse_head
from ..errors import ConnectionFailed, DeadlineExceeded, ProtocolError
from .stream import AsyncStream

__all__ = ["AsyncAnswer", "AsyncConnection"]

_PIECE = 256 * 1024
_MOST_LINE = 8 * 1024
#: Milliseconds that a server has to say whether it wants a body.
_WELCOME = 1_000


class AsyncConnection:
    """A connection: asked for something, it gives an answer."""

    def __init__(self, stream: AsyncStream) -> None:
        self.stream = stream
        self._rest = bytearray()
        self._early: Head | None = None
        self.rests_since = time.monotonic()

    def is_usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._rest and self.stream.is_usable()

    def close(self) -> None:
        """Breaks off."""
        self.stream.close()

    def take_rest(self) -> bytes:
        """What was read too much, for whoever goes on reading from the stream."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest

    # --- sending ---

    async def send(self, head: bytes, body: bytes, deadline: Deadline) -> None:
        """Sends a request. If the server does not want the rest, its answer is there to read."""
        try:
            await self.stream.write(head + body if len(body) < _PIECE else head, deadline)
            if len(body) >= _PIECE:
                await self._send_pieces(body, deadline)
        except ConnectionFailed:
            if not self.stream.has_input():
                raise

    async def _send_pieces(self, body: bytes, deadline: Deadline) -> None:
        for begin in range(0, len(body), _PIECE):
            if self.stream.has_input():
                return
            await self.stream.write(body[begin : begin + _PIECE], deadline)

    async def upload(
        self, head: bytes, pieces: AsyncIterator[bytes], is_chunked: bool, patience: Callable[[], Deadline]
    ) -> None:
        """Sends a request whose body comes in pieces; each has a deadline."""
        try:
            await self.stream.write(head, patience())
            if not await self._is_welcome():
                return
            async for piece in pieces:
                if self.stream.has_input():
                    return
                if piece:
                    framed = b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
                    await self.stream.write(framed, patience())
            if is_chunked:
                await self.stream.write(b"0\r\n\r\n", patience())
        except ConnectionFailed:
            if not self.stream.has_input():
                raise

    async def _is_welcome(self) -> bool:
        """Whether the server wants the body that it was told of. One that refuses may close the
        connection over what is on its way, and its answer would be lost with that."""
        try:
            head = await self._head(Deadline(_WELCOME, "the upload"))
        except DeadlineExceeded:
            # Some proxies do not say.
            return True
        if head.status == 100:
            return True
        self._early = head
        return False

    # --- receiving ---

    async def head(self, deadline: Deadline) -> Head:
        """The head of the answer."""
        head = self._early
        self._early = None
        # What is below 200 comes before the answer; 101 is one.
        while head is None or (head.status < 200 and head.status != 101):
            head = await self._head(deadline)
        return head

    async def _head(self, deadline: Deadline) -> Head:
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            if len(self._rest) > MOST_HEAD:
                raise ProtocolError("the server sent a head without end")
            await self._more(deadline)
        head = parse_head(bytes(self._rest[:end]))
        del self._rest[: end + 4]
        return head

    async def line(self, deadline: Deadline) -> bytes:
        """A line, without its end."""
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > _MOST_LINE:
                raise ProtocolError("the server sent a line without end")
            await self._more(deadline)
        line = bytes(self._rest[:end])
        del self._rest[: end + 2]
        return line

    async def some(self, most: int, deadline: Deadline) -> bytes:
        """At most so many bytes; none at the end."""
        if self._rest:
            piece = bytes(self._rest[:most])
            del self._rest[:most]
            return piece
        return await self.stream.read(min(most, _PIECE), deadline)

    async def _more(self, deadline: Deadline) -> None:
        piece = await self.stream.read(_PIECE, deadline)
        if not piece:
            raise ConnectionFailed("the server closed the connection without an answer")
        self._rest += piece


class AsyncAnswer:
    """An answer whose body is still to be read."""

    def __init__(
        self, connection: AsyncConnection, head: Head, done: Callable[[AsyncConnection], None]
    ) -> None:
        self.head = head
        self._connection = connection
        self._done = done
        self._left = head.length
        self._is_over = not head.has_body or (self._left == 0 and not head.is_chunked)
        self._is_first = True
        if self._is_over:
            self._finish()

    async def piece(self, deadline: Deadline) -> bytes:
        """The next bytes; none at the end. One that breaks off is no end."""
        if self._is_over:
            return b""
        if self.head.is_chunked:
            return await self._chunk(deadline)
        if self._left is None:
            data = await self._connection.some(_PIECE, deadline)
            if not data:
                self._is_over = True
                self._connection.close()
            return data
        data = await self._some(self._left, deadline)
        self._left -= len(data)
        if self._left == 0:
            self._is_over = True
            self._finish()
        return data

    async def _chunk(self, deadline: Deadline) -> bytes:
        if not self._left:
            if not self._is_first and await self._connection.line(deadline):
                raise ProtocolError("the server sent a chunk longer than it said")
            self._is_first = False
            size = (await self._connection.line(deadline)).partition(b";")[0].strip()
            if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
                raise ProtocolError("the server sent a chunk without a size")
            self._left = int(size, 16)
            if self._left == 0:
                while await self._connection.line(deadline):
                    pass
                self._is_over = True
                self._finish()
                return b""
        data = await self._some(self._left, deadline)
        self._left -= len(data)
        return data

    async def _some(self, most: int, deadline: Deadline) -> bytes:
        data = await self._connection.some(most, deadline)
        if not data:
            raise ConnectionFailed("the server broke off in the middle of its answer")
        return data

    async def whole(self, most: int, deadline: Deadline) -> bytes:
        """All of it."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.piece(deadline):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise ProtocolError(f"the server's answer is longer than {most} bytes")
        return b"".join(pieces)

    def _finish(self) -> None:
        if self.head.is_kept_alive and self.head.status != 101:
            self._done(self._connection)
        else:
            self._connection.close()

    def close(self) -> None:
        """Gives up what has not come yet. The server ends what it did for it."""
        if not self._is_over:
            self._is_over = True
            self._connection.close()
