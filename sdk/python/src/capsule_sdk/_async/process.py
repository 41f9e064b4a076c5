"""A process that outlives the request that started it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from .._types import Exit, read
from ..errors import ProtocolError
from .events import AsyncOutput
from .terminal import AsyncTerminal

if TYPE_CHECKING:
    from .sandbox import AsyncSandbox

__all__ = ["AsyncProcess"]

#: What one request carries.
_PIECE = 4 << 20


class AsyncProcess:
    """A process of a sandbox. Making one starts nothing."""

    def __init__(self, sandbox: AsyncSandbox, number: int) -> None:
        self.sandbox = sandbox
        #: Its number in the sandbox.
        self.number = number

    def output(self, *, offset: int = 0, deadline_ms: float | None = None) -> AsyncOutput:
        """What it wrote, as far as it is kept, and what it will. A stream that breaks off is taken
        up where it was. ``offset`` is the ``next`` of an event, to begin behind it."""
        params = {"id": self.sandbox.id, "process": self.number, "offset": offset}
        transport = self.sandbox.client._transport
        return AsyncOutput(transport, "sandbox.v1.attach", params, deadline_ms, can_return=True)

    async def wait(self, *, timeout_ms: int | None = None, deadline_ms: float | None = None) -> Exit | None:
        """How it ended; None if it still runs after ``timeout_ms`` (default 5000)."""
        told = await self._call("wait", deadline_ms, timeout_ms=timeout_ms)
        if not isinstance(told, dict):
            raise ProtocolError("the server answered without an exit")
        return None if told.get("exit") is None else read(Exit, told["exit"])

    async def input(
        self, data: str | bytes, *, timeout_ms: int | None = None, deadline_ms: float | None = None
    ) -> None:
        """Writes to its standard input, or types in its terminal.

        Raises:
            ExecTimeout: it did not read all of it within ``timeout_ms`` (default 5000).
        """
        raw = data.encode() if isinstance(data, str) else bytes(data)
        for begin in range(0, max(len(raw), 1), _PIECE):
            piece = base64.b64encode(raw[begin : begin + _PIECE]).decode()
            await self._call("input", deadline_ms, data=piece, timeout_ms=timeout_ms)

    async def close_input(self, *, deadline_ms: float | None = None) -> None:
        """Closes its standard input."""
        await self._call("closeInput", deadline_ms)

    async def kill(
        self, signal: int | None = None, *, tree: bool | None = None, deadline_ms: float | None = None
    ) -> None:
        """Sends a signal (default 9), to all that it started too unless ``tree`` is false."""
        await self._call("kill", deadline_ms, signal=signal, tree=tree)

    async def resize(self, columns: int, rows: int, *, deadline_ms: float | None = None) -> None:
        """Changes the size of its terminal."""
        await self._call("resize", deadline_ms, columns=columns, rows=rows)

    async def connect_terminal(self, *, deadline_ms: float | None = None) -> AsyncTerminal:
        """Its terminal, if it was started with one. The process goes on when it is closed."""
        return await self.sandbox.connect_terminal(process=self.number, deadline_ms=deadline_ms)

    async def _call(self, method: str, deadline_ms: float | None, **params: object) -> object:
        return await self.sandbox._call(method, deadline_ms, process=self.number, **params)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sandbox.id!r}, {self.number})"
