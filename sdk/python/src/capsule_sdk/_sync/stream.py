"""Bytes to and from the server, over sockets that do not block. Each step has a deadline.

One thread may read while another writes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import selectors
import socket
import ssl
import threading
import time
from typing import Any, BinaryIO, Literal

from .._deadline import Deadline
from .._http import Address
from ..errors import ConnectionFailed, DeadlineExceeded

__all__ = ["Lock", "Stream", "open_file", "pause", "read_file", "write_file"]

Lock = threading.Lock
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


def pause(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


def open_file(path: str | os.PathLike[str], mode: Literal["rb", "xb"]) -> BinaryIO:
    """Opens a local file."""
    return open(path, mode)


def read_file(file: BinaryIO, size: int) -> bytes:
    """Reads a local file."""
    return file.read(size)


def write_file(file: BinaryIO, data: bytes) -> None:
    """Writes one."""
    file.write(data)


class Stream:
    """A connection."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        # What TLS keeps is not made for two threads at once.
        self._using = threading.Lock()

    @classmethod
    def open(cls, address: Address, tls: ssl.SSLContext | None, deadline: Deadline) -> Stream:
        """Connects."""
        try:
            if address.unix:
                stream = cls(_connect(socket.AF_UNIX, address.unix, deadline))
            else:
                stream = cls(_connect_to(address, deadline))
        except OSError as error:
            if deadline.is_over:
                raise deadline.exceeded() from None
            raise ConnectionFailed(f"{address} cannot be reached: {error}", nothing_sent=True) from error
        if tls is not None:
            try:
                stream._greet(tls, address.host, deadline)
            except OSError as error:
                stream.close()
                if deadline.is_over:
                    raise deadline.exceeded() from None
                raise ConnectionFailed(f"{address} cannot be reached: {error}", nothing_sent=True) from error
            except BaseException:
                stream.close()
                raise
        return stream

    def _greet(self, tls: ssl.SSLContext, host: str, deadline: Deadline) -> None:
        wrapped = tls.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = wrapped
        self._again(wrapped.do_handshake, selectors.EVENT_READ, deadline)

    def read(self, most: int, deadline: Deadline) -> bytes:
        """Some bytes; none at the end."""
        try:
            return bytes(self._again(lambda: self._socket.recv(most), selectors.EVENT_READ, deadline))
        except ssl.SSLEOFError:
            return b""
        except DeadlineExceeded:
            raise
        except OSError as error:
            raise ConnectionFailed(f"the connection broke off: {error}") from error

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Sends all of it."""
        left = memoryview(data)
        while left:
            try:
                sent = self._again(functools.partial(self._send, left), selectors.EVENT_WRITE, deadline)
            except DeadlineExceeded:
                raise
            except OSError as error:
                raise ConnectionFailed(f"the connection broke off: {error}") from error
            left = left[sent:]

    def _send(self, data: memoryview) -> int:
        return self._socket.send(data)

    def _again(self, step: Any, event: int, deadline: Deadline) -> Any:
        """Does what would block as soon as it does not."""
        while True:
            try:
                with self._using:
                    return step()
            except ssl.SSLWantReadError:
                waits_for = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                waits_for = selectors.EVENT_WRITE
            except BlockingIOError:
                waits_for = event
            if not _is_ready(self._socket, waits_for, deadline.left()):
                raise deadline.exceeded()

    def has_input(self) -> bool:
        """Whether the server said something, or closed."""
        try:
            return _is_ready(self._socket, selectors.EVENT_READ, 0)
        except (OSError, ValueError):
            return True

    def is_usable(self) -> bool:
        """Whether another request can be sent."""
        return not self.has_input()

    def close(self) -> None:
        """Breaks off; nothing waits."""
        # A thread that waits on it is to wake up.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _is_ready(waited_for: socket.socket, event: int, seconds: float) -> bool:
    with _Selector() as selector:
        try:
            selector.register(waited_for, event)
        except ValueError as error:
            raise OSError("the connection was closed here") from error
        return bool(selector.select(seconds))


def _connect(family: int, where: Any, deadline: Deadline) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(deadline.left())
        made.connect(where)
        if family != getattr(socket, "AF_UNIX", None):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made


def _connect_to(address: Address, deadline: Deadline) -> socket.socket:
    failure: OSError | None = None
    for family, where in _resolve(address, deadline):
        try:
            return _connect(family, where, deadline)
        except OSError as error:
            failure = error
    raise failure or OSError(f"there is no address for {address.host}")


def _resolve(address: Address, deadline: Deadline) -> list[tuple[int, Any]]:
    """Asking for a name cannot be given up; so a thread asks, and is not waited for."""
    answers: queue.SimpleQueue[list[tuple[int, Any]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            answers.put([(int(one[0]), one[4]) for one in found])
        except OSError as error:
            answers.put(error)

    threading.Thread(target=ask, name="capsule-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise deadline.exceeded() from None
    if isinstance(answer, OSError):
        raise answer
    return answer
