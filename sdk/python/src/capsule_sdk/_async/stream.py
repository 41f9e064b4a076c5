"""Bytes to and from the server, over ``asyncio``. Each step has a deadline.

A protocol of its own and not ``asyncio.StreamReader``: what the server said before it closed
the connection in the middle of an upload has to be readable afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import BinaryIO, Literal, cast

from .._deadline import Deadline
from .._http import Address
from ..errors import ConnectionFailed

__all__ = ["AsyncLock", "AsyncStream", "open_file", "pause", "read_file", "write_file"]

#: More than this that nobody has read yet is left to the kernel, and so to the server.
_FULL = 256 * 1024

AsyncLock = asyncio.Lock


async def pause(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


async def open_file(path: str | os.PathLike[str], mode: Literal["rb", "xb"]) -> BinaryIO:
    """Opens a local file."""
    return cast(BinaryIO, await asyncio.to_thread(open, path, mode))


async def read_file(file: BinaryIO, size: int) -> bytes:
    """Reads a local file, which can block."""
    return await asyncio.to_thread(file.read, size)


async def write_file(file: BinaryIO, data: bytes) -> None:
    """Writes one."""
    await asyncio.to_thread(file.write, data)


class AsyncStream(asyncio.Protocol):
    """A connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_over = False
        self._is_resting = False
        self._failure: Exception | None = None
        self._changed = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    @classmethod
    async def open(cls, address: Address, tls: ssl.SSLContext | None, deadline: Deadline) -> AsyncStream:
        """Connects."""
        loop = asyncio.get_running_loop()
        stream: AsyncStream
        try:
            async with asyncio.timeout(deadline.left()):
                if address.unix:
                    _, stream = await loop.create_unix_connection(cls, address.unix)
                else:
                    name = address.host if tls is not None else None
                    _, stream = await loop.create_connection(
                        cls, address.host, address.port, ssl=tls, server_hostname=name
                    )
        except OSError as error:
            # The kernel has a timeout of its own, which looks the same.
            if deadline.is_over:
                raise deadline.exceeded() from None
            raise ConnectionFailed(f"{address} cannot be reached: {error}", nothing_sent=True) from error
        return stream

    # --- what the loop tells ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _FULL and self._transport is not None and not self._is_resting:
            self._is_resting = True
            self._transport.pause_reading()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._failure = exc
        self._changed.set()
        self._may_write.set()

    def eof_received(self) -> None:
        self._is_over = True
        self._changed.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    # --- what is asked for ---

    async def read(self, most: int, deadline: Deadline) -> bytes:
        """Some bytes; none at the end."""
        while not self._received:
            if self._is_over:
                if self._failure is not None:
                    raise ConnectionFailed(f"the connection broke off: {self._failure}")
                return b""
            self._changed.clear()
            await self._wait(self._changed, deadline)
        data = bytes(self._received[:most])
        del self._received[:most]
        if self._is_resting and len(self._received) <= _FULL // 2 and self._transport is not None:
            self._is_resting = False
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()
        return data

    async def write(self, data: bytes, deadline: Deadline) -> None:
        """Sends all of it, or lets what is on its way wait at most for a small buffer."""
        if self._is_over or self._transport is None:
            raise ConnectionFailed("the connection broke off")
        self._transport.write(data)
        # The loop has to turn, or nothing that the server says meanwhile is seen.
        await asyncio.sleep(0)
        await self._wait(self._may_write, deadline)
        if self._is_over:
            raise ConnectionFailed("the connection broke off")

    async def _wait(self, event: asyncio.Event, deadline: Deadline) -> None:
        if event.is_set():
            return
        try:
            async with asyncio.timeout(deadline.left()):
                await event.wait()
        except TimeoutError:
            raise deadline.exceeded() from None

    def has_input(self) -> bool:
        """Whether the server said something, or closed."""
        return bool(self._received) or self._is_over

    def is_usable(self) -> bool:
        """Whether another request can be sent, here and now."""
        return not self.has_input() and self._loop is asyncio.get_running_loop()

    def close(self) -> None:
        """Breaks off; nothing waits."""
        self._is_over = True
        if self._transport is not None and not self._loop.is_closed():
            self._transport.abort()
