# Made from _async/files.py by generate_sync.py. Change that one.
"""Files of any size, a piece at a time."""

from __future__ import annotations

import os
from collections.abc import (
    Iterator,
    Iterable,
)
from pathlib import Path
from typing import BinaryIO, Self, cast

from .._deadline import Deadline
from .connection import Answer
from .stream import open_file, read_file, write_file
from .transport import Transport

__all__ = ["Download", "Source", "pieces_of", "save"]

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


def pieces_of(source: Source) -> Iterator[bytes]:
    """It, in pieces."""
    if isinstance(source, str):
        source = source.encode()
    if isinstance(source, (bytes, bytearray, memoryview)):
        view = memoryview(source).cast("B")
        for begin in range(0, len(view), _PIECE):
            yield bytes(view[begin : begin + _PIECE])
    elif isinstance(source, os.PathLike):
        with open_file(source, "rb") as file:
            while piece := read_file(file, _PIECE):
                yield piece
    elif hasattr(source, "read"):
        while piece := read_file(cast(BinaryIO, source), _PIECE):
            yield piece
    else:
        for piece in source:
            yield piece


class Download:
    """The content of a file, as it comes: an iterator of bytes."""

    def __init__(self, transport: Transport, answer: Answer) -> None:
        self._transport = transport
        self._answer = answer
        #: Its length, if the server told it.
        self.size = answer.head.length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives up the rest."""
        self._answer.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = self._answer.piece(Deadline(self._transport.silence_ms, "the download"))
        except BaseException:
            self._answer.close()
            raise
        if piece:
            return piece
        raise StopIteration


def save(download: Download, place: str | os.PathLike[str] | BinaryIO) -> int:
    """Writes it to a file. One that is named is there whole or not at all."""
    size = 0
    if not isinstance(place, (str, os.PathLike)):
        for piece in download:
            write_file(place, piece)
            size += len(piece)
        return size
    target = Path(place)
    beside = target.with_name(f".{target.name[:40]}.{os.urandom(6).hex()}")
    file = open_file(beside, "xb")
    try:
        with file:
            for piece in download:
                write_file(file, piece)
                size += len(piece)
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return size
