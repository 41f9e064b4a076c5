"""Servers for the tests of ``capsule_sdk``: a real one, and some that are none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from capsule_sdk import CapsuleClient, Sandbox

T = TypeVar("T")

#: What the server that is built says of itself; CI holds it to the binary.
SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[3] / "schema" / "openrpc.json").read_text())
METHODS = {method["name"]: method for method in SCHEMA["methods"]}


def needs(method: str) -> Callable[[T], T | None]:
    """A test of a method that the server of this revision may not have yet. It is no test then."""
    return lambda test: test if method in METHODS else None


class Server:
    """One ``capsule serve``, with a folder of its own."""

    def __init__(self, *arguments: str, needs_key: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="capsule-sdk-"))
        self.binary = os.environ["CAPSULE_BIN"]
        self.log = (self.folder / "log").open("wb")
        if needs_key:
            # It does not start without one.
            self.key("first")
            arguments = (*arguments, "--require-key")
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data", str(self.folder / "data"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        assert self.process.stdout is not None
        #: What it printed: its address.
        self.url = self.process.stdout.readline().strip()
        assert self.url, (self.folder / "log").read_text()

    def key(self, name: str) -> str:
        """A new API key."""
        made = subprocess.run(
            [self.binary, "keys", "create", "--name", name, "--data", str(self.folder / "data")],
            check=True,
            capture_output=True,
            text=True,
        )
        return next(word for word in made.stdout.split() if word.startswith("cap_"))

    def stop(self) -> None:
        """Ends it, and all its sandboxes."""
        self.process.terminate()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server for all tests."""
    server = Server("--listen", "127.0.0.1:0")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[CapsuleClient]:
    """A client of it."""
    with CapsuleClient(server.url) as client:
        yield client


@pytest.fixture
def sandbox(client: CapsuleClient) -> Iterator[Sandbox]:
    """A sandbox that is gone after the test."""
    with client.create("python") as sandbox:
        yield sandbox


class Impostor:
    """A socket that accepts connections, and does with each what it was told to. It counts
    the requests that it read."""

    def __init__(self, act: Callable[[socket.socket, Impostor], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        self._act = act
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._act(connection, self)

    def read_request(self, connection: socket.socket) -> bytes:
        """A whole request."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65_536)
            if not piece:
                raise OSError("nobody asks")
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
        while left > 0:
            piece = connection.recv(left)
            body, left = body + piece, left - len(piece)
        self.requests += 1
        return body

    def close(self) -> None:
        """Ends it."""
        self._listener.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def impostor() -> Iterator[Callable[[Callable[[socket.socket, Impostor], None]], Impostor]]:
    """Makes servers that are none."""
    made: list[Impostor] = []

    def make(act: Callable[[socket.socket, Impostor], None]) -> Impostor:
        made.append(Impostor(act))
        return made[-1]

    yield make
    for one in made:
        one.close()
