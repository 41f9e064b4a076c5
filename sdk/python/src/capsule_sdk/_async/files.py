"""Files of any size, a piece at a time."""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterable,  # async only
    AsyncIterator,
    Iterable,
)
from pathlib import Path
from typing import BinaryIO, Self, cast

from .._deadline import Deadline
from .connection import AsyncAnswer
from .stream import open_file, read_file, write_file
from .transport import AsyncTransport

__all__ = ["AsyncDownload", "Source", "pieces_of", "save"]

_PIECE = 256 * 1024

#: What can be uploaded: bytes, text, a local path, a file that is open for reading bytes, or
#: pieces as they come.
Source = (
    str
    | bytes
    | bytearray
    | memoryview
    | os.PathLike[str]
    | BinaryIO
    | Iterable[bytes]
    | AsyncIterable[bytes]  # async only
)


def length_of(source: Source) -> int | None:
    """Its length, if it can be known."""
    if isinstance(source, str):
        return len(source.encode())
    if isinstance(source, (bytes, bytearray)):
        return len(source)
    if isinstance(source, memoryview):
        return source.nbytes
    return None


async def pieces_of(source: Source) -> AsyncIterator[bytes]:
    """It, in pieces."""
    if isinstance(source, str):
        source = source.encode()
    if isinstance(source, (bytes, bytearray, memoryview)):
        view = memoryview(source).cast("B")
        for begin in range(0, len(view), _PIECE):
            yield bytes(view[begin : begin + _PIECE])
    elif isinstance(source, os.PathLike):
        with await open_file(source, "rb") as file:
            while piece := await read_file(file, _PIECE):
                yield piece
    elif hasattr(source, "read"):
        while piece := await read_file(cast(BinaryIO, source), _PIECE):
            yield piece
    elif isinstance(source, AsyncIterable):  # async only
        async for piece in source:  # async only
            yield piece  # async only
    else:
        for piece in source:
            yield piece


class AsyncDownload:
    """The content of a file, as it comes: an iterator of bytes."""

    def __init__(self, transport: AsyncTransport, answer: AsyncAnswer) -> None:
        self._transport = transport
        self._answer = answer
        #: Its length, if the server told it.
        self.size = answer.head.length

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Gives up the rest."""
        self._answer.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._answer.piece(Deadline(self._transport.silence_ms, "the download"))
        except BaseException:
            self._answer.close()
            raise
        if piece:
            return piece
        raise StopAsyncIteration


async def save(download: AsyncDownload, place: str | os.PathLike[str] | BinaryIO) -> int:
    """Writes it to a file. One that is named is there whole or not at all."""
    size = 0
    if not isinstance(place, (str, os.PathLike)):
        async for piece in download:
            await write_file(place, piece)
            size += len(piece)
        return size
    target = Path(place)
    beside = target.with_name(f".{target.name[:40]}.{os.urandom(6).hex()}")
    file = await open_file(beside, "xb")
    try:
        with file:
            async for piece in download:
                await write_file(file, piece)
                size += len(piece)
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return size
