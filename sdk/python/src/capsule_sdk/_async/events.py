"""Streams of events, as iterators. No stream is silent for longer than it may be: the server
shows every 15 seconds that it lives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from .. import _output, _sse
from .._deadline import Deadline
from .._types import FileEvent, OutputEvent
from ..errors import ConnectionFailed, RequestRefused
from .connection import AsyncAnswer
from .stream import pause
from .transport import AsyncTransport

__all__ = ["AsyncChanges", "AsyncOutput", "AsyncStates"]


class AsyncEvents:
    """A stream of events. It begins when it is first read from, and ends with ``aclose()``,
    at the end of ``async with``, or by itself."""

    def __init__(
        self, transport: AsyncTransport, method: str, params: Mapping[str, Any], deadline_ms: float | None
    ) -> None:
        self._transport = transport
        self._method = method
        self._params = dict(params)
        self._deadline_ms = deadline_ms
        self._answer: AsyncAnswer | None = None
        self._incoming = _sse.Incoming()
        self._waiting: list[tuple[str, str]] = []
        self._is_over = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends it. What the server did for this stream alone, it ends too."""
        self._is_over = True
        self._drop()

    def __del__(self) -> None:
        self._drop()

    def _drop(self) -> None:
        answer = getattr(self, "_answer", None)
        self._answer = None
        if answer is not None:
            answer.close()

    async def _open(self) -> None:
        self._drop()
        self._incoming = _sse.Incoming()
        self._waiting = []
        self._answer = await self._transport.stream(self._method, self._params, self._deadline_ms)

    async def _event(self) -> tuple[str, str] | None:
        """The next event; none at the end of the answer."""
        if self._answer is None:
            await self._open()
        assert self._answer is not None
        while not self._waiting:
            deadline = Deadline(self._transport.silence_ms, f"the stream of {self._method}")
            try:
                piece = await self._answer.piece(deadline)
            except BaseException:
                self._drop()
                raise
            if not piece:
                return None
            self._waiting = list(self._incoming.add(piece))
        return self._waiting.pop(0)


class AsyncOutput(AsyncEvents):
    """What a process writes, as it writes it::

        async with sandbox.exec_stream(["make"]) as output:
            async for event in output:
                print(event.text, end="")

    The last event is ``exit``. A stream that breaks off before is an error, if the process
    ended with it; that of a process that goes on is taken up where it was.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        method: str,
        params: Mapping[str, Any],
        deadline_ms: float | None,
        *,
        can_return: bool,
    ) -> None:
        super().__init__(transport, method, params, deadline_ms)
        self._output = _output.Output(int(self._params.get("offset", 0)))
        self._can_return = can_return

    @property
    def process(self) -> int | None:
        """The number of the process, once it is known."""
        return self._output.process

    @property
    def next(self) -> int:
        """Where another reader would go on."""
        return self._output.next

    def __aiter__(self) -> AsyncIterator[OutputEvent]:
        return self

    async def __anext__(self) -> OutputEvent:
        failures = 0
        while not (self._is_over or self._output.is_over):
            try:
                found = await self._event()
            except ConnectionFailed:
                if not self._can_return or failures == 3:
                    raise
                found = None
            if found is None:
                if not self._can_return or failures == 3:
                    raise ConnectionFailed("the stream broke off before the process ended")
                await pause(0.1 * 4**failures)
                failures += 1
                self._params["offset"] = self._output.next
                self._drop()
                continue
            event = self._output.read(*found)
            if event is not None:
                if event.kind == "exit":
                    await self._end()
                return event
        raise StopAsyncIteration

    async def _end(self) -> None:
        """Reads the end of the answer, so that the connection can be used again."""
        with contextlib.suppress(ConnectionFailed):
            await self._event()
        await self.aclose()


class AsyncStates(AsyncEvents):
    """The states of a sandbox, from now on; ``"gone"`` is the last."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while not self._is_over:
            found = await self._event()
            if found is None:
                break
            if found[0] == "state":
                return _output.state_of(found[1])
        await self.aclose()
        raise StopAsyncIteration


class AsyncChanges(AsyncEvents):
    """What happens to the files of a directory. Once :meth:`started` has returned, nothing is
    missed."""

    async def started(self) -> None:
        """Waits until the server watches."""
        found = await self._event()
        if found is not None and found[0] not in ("started", "error"):
            self._waiting.insert(0, found)
        elif found is not None and found[0] == "error":
            raise RequestRefused.of(_output.loads(found[1]))

    def __aiter__(self) -> AsyncIterator[FileEvent]:
        return self

    async def __anext__(self) -> FileEvent:
        while not self._is_over:
            found = await self._event()
            if found is None:
                break
            event = _output.changes_of(*found)
            if event is not None:
                return event
        await self.aclose()
        raise StopAsyncIteration
