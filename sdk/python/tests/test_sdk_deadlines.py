"""No call can hang, whatever answers; and what is made twice is only what may be."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from serving import Impostor

from capsule_sdk import (
    AsyncCapsuleClient,
    CapsuleClient,
    CapsuleError,
    ConnectionFailed,
    DeadlineExceeded,
    ProtocolError,
)

Act = Callable[[socket.socket, Impostor], None]
Make = Callable[[Act], Impostor]
#: Ends a server that has to hold on to its connection until the test is over.
_HOLD = threading.Event()

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STARTED = b'event: started\ndata: {"started":{"process":1}}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(body: bytes, *, kind: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        kind,
        len(body),
        body,
    )


def sends(*pieces: bytes) -> Act:
    """Reads a request, sends something, and then says nothing more."""

    def act(connection: socket.socket, impostor: Impostor) -> None:
        impostor.read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
        _HOLD.wait(60)

    return act


def closes_after(*pieces: bytes) -> Act:
    """The same, but it hangs up."""

    def act(connection: socket.socket, impostor: Impostor) -> None:
        impostor.read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
        connection.close()

    return act


def sync_call(url: str, method: str, **options: Any) -> Any:
    with CapsuleClient(url, **options) as client:
        return client.call(method, {"id": "x"})


def async_call(url: str, method: str, **options: Any) -> Any:
    async def ask() -> Any:
        async with AsyncCapsuleClient(url, **options) as client:
            return await client.call(method, {"id": "x"})

    return asyncio.run(ask())


both = pytest.mark.parametrize("call", [sync_call, async_call])
SILENT = [
    sends(),
    sends(b"HTTP/1.1 200 OK\r\nconte"),
    sends(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"),
    sends(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"),
    sends(b"HTTP/1.1 100 Continue\r\n\r\n"),
]


@both
@pytest.mark.parametrize("act", SILENT)
def test_a_server_that_falls_silent_is_given_up(call: Callable[..., Any], act: Act, impostor: Make) -> None:
    server = impostor(act)
    with pytest.raises(DeadlineExceeded) as failure:
        call(server.url, "sandbox.v1.get", deadline_ms=300)
    assert isinstance(failure.value, TimeoutError)
    assert failure.value.request_id
    # A deadline is none for each attempt.
    assert server.requests <= 1


@both
def test_a_server_that_drips_is_given_up(call: Callable[..., Any], impostor: Make) -> None:
    def drip(connection: socket.socket, impostor: Impostor) -> None:
        impostor.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not _HOLD.wait(0.02):
            connection.sendall(b"x-more: 1\r\n")

    with pytest.raises(DeadlineExceeded):
        call(impostor(drip).url, "sandbox.v1.get", deadline_ms=300)


@both
def test_a_queue_that_nobody_serves_is_given_up(call: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        with pytest.raises((DeadlineExceeded, ConnectionFailed)):
            call(f"http://127.0.0.1:{listener.getsockname()[1]}", "sandbox.v1.get", deadline_ms=300)


@both
@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"f" * 16 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        answer(b"not json"),
        answer(b"[]"),
        answer(b"{}"),
        answer(b'{"error": 5}'),
        answer(b"[" * 100_000),
        answer(b"<html>", kind=b"text/html", status=b"502 Bad Gateway"),
        answer(b"", status=b"302 Found"),
    ],
)
def test_what_speaks_something_else_is_an_error(
    call: Callable[..., Any], data: bytes, impostor: Make
) -> None:
    with pytest.raises(ProtocolError):
        call(impostor(sends(data)).url, "sandbox.v1.get", deadline_ms=10_000)


@both
def test_only_what_may_be_made_twice_is(call: Callable[..., Any], impostor: Make) -> None:
    for method, attempts in [("sandbox.v1.get", 3), ("sandbox.v1.exec", 1), ("sandbox.v1.create", 1)]:
        server = impostor(closes_after(b"HTTP/1.1 200 OK\r\n"))
        with pytest.raises(ConnectionFailed) as failure:
            call(server.url, method)
        assert not failure.value.nothing_sent
        assert server.requests == attempts, method


@both
def test_what_could_not_be_sent_is_sent_again(call: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionFailed) as failure:
        call(f"http://127.0.0.1:{port}", "sandbox.v1.exec", retries=1)
    assert failure.value.nothing_sent
    assert failure.value.retryable
    # A server that comes up meanwhile is found.
    body = b'{"jsonrpc":"2.0","id":1,"result":{"stdout":"late"}}'
    made: list[Impostor] = []

    def appear() -> None:
        late = Impostor.__new__(Impostor)
        late._listener = socket.create_server(("127.0.0.1", port))
        late.requests, late._act, late._open = 0, sends(answer(body)), []
        late._thread = threading.Thread(target=late._accept, daemon=True)
        late._thread.start()
        made.append(late)

    timer = threading.Timer(0.2, appear)
    timer.start()
    try:
        assert call(f"http://127.0.0.1:{port}", "sandbox.v1.exec", retries=5)["stdout"] == "late"
    finally:
        timer.join()
        made[0].close()


def test_a_creation_with_a_key_is_made_again(impostor: Make) -> None:
    server = impostor(closes_after())
    with pytest.raises(ConnectionFailed):
        CapsuleClient(server.url).create(key="k")
    assert server.requests == 3


def test_a_connection_that_the_server_closed_is_not_used(impostor: Make) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"result":1}'
    closed = threading.Event()

    def act(connection: socket.socket, impostor: Impostor) -> None:
        closes_after(answer(body))(connection, impostor)
        closed.set()

    server = impostor(act)
    with CapsuleClient(server.url, retries=0) as client:
        for _ in range(5):
            assert client.call("sandbox.v1.exec") == 1
            assert closed.wait(10)
            closed.clear()
    assert server.requests == 5


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (sends(STREAM + chunk(STARTED)), DeadlineExceeded),
        (closes_after(STREAM + chunk(STARTED)), ConnectionFailed),
        (closes_after(STREAM + chunk(STARTED) + b"0\r\n\r\n"), ConnectionFailed),
        (sends(STREAM + chunk(STARTED) + chunk(b"event: stdout\ndata: {}\n\n")), ProtocolError),
        (sends(STREAM + chunk(STARTED) + chunk(b"event: stdout\ndata: nothing\n\n")), ProtocolError),
    ],
)
def test_a_stream_that_is_not_whole_is_an_error(act: Act, error: type[CapsuleError], impostor: Make) -> None:
    server = impostor(act)

    async def listen() -> list[str]:
        async with AsyncCapsuleClient(server.url, silence_ms=300) as client:
            return [event.kind async for event in client.sandbox("x").exec_stream(["x"])]

    with pytest.raises(error):
        asyncio.run(listen())
    with CapsuleClient(server.url, silence_ms=300) as client:
        output = client.sandbox("x").exec_stream(["x"])
        assert next(output).kind == "started"
        with pytest.raises(error):
            list(output)
    # A command is not run twice.
    assert server.requests == 2


def test_a_stream_of_a_process_that_goes_on_is_taken_up(impostor: Make) -> None:
    def act(connection: socket.socket, impostor: Impostor) -> None:
        asked = json.loads(impostor.read_request(connection))["params"]["offset"]
        if asked == 0:
            event = b'event: stdout\nid: 2\ndata: {"stdout":{"data":"YQo=","next":2}}\n\n'
            connection.sendall(STREAM + chunk(event))
        else:
            event = b'event: exit\ndata: {"exit":{"exit_code":%d}}\n\n' % asked
            connection.sendall(STREAM + chunk(event) + b"0\r\n\r\n")
        connection.close()

    with CapsuleClient(impostor(act).url) as client:
        first, last = client.sandbox("x").process(1).output()
    assert (first.text, last.exit and last.exit.exit_code) == ("a\n", 2)


def test_a_terminal_that_falls_silent_is_given_up(impostor: Make) -> None:
    silent = impostor(sends())
    with pytest.raises(DeadlineExceeded):
        CapsuleClient(silent.url, deadline_ms=300).sandbox("x").connect_terminal()
    false = impostor(sends(b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\n\r\n"))
    with pytest.raises(ProtocolError):
        CapsuleClient(false.url).sandbox("x").connect_terminal()

    async def open_it() -> None:
        async with AsyncCapsuleClient(silent.url) as client:
            await client.sandbox("x").connect_terminal(deadline_ms=300)

    with pytest.raises(DeadlineExceeded):
        asyncio.run(open_it())


def test_an_upload_that_nobody_takes_is_given_up(impostor: Make) -> None:
    def act(connection: socket.socket, impostor: Impostor) -> None:
        connection.recv(1)
        _HOLD.wait(60)

    server = impostor(act)
    with pytest.raises(DeadlineExceeded):
        CapsuleClient(server.url, silence_ms=300).sandbox("x").write_file("f", b"x" * 50_000_000)

    async def upload() -> None:
        async with AsyncCapsuleClient(server.url, silence_ms=300) as client:
            await client.sandbox("x").write_file("f", b"x" * 50_000_000)

    with pytest.raises(DeadlineExceeded):
        asyncio.run(upload())


def test_a_download_that_breaks_off_is_no_file(impostor: Make, tmp_path: Any) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"
    with pytest.raises(ConnectionFailed):
        CapsuleClient(impostor(closes_after(head)).url).sandbox("x").download("f", tmp_path / "f")
    with pytest.raises(DeadlineExceeded):
        CapsuleClient(impostor(sends(head)).url, silence_ms=300).sandbox("x").download("f", tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


def test_deadlines_and_addresses_are_checked() -> None:
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="deadline"):
            CapsuleClient("http://127.0.0.1:1").health(deadline_ms=bad)
    for url in ("", "ftp://x", "localhost:8080", "http://", "http://key@host", "http://h/?a", "unix:"):
        with pytest.raises(ValueError, match=r"address|socket"):
            CapsuleClient(url or "x")
    for key in ("a\r\nx: y", "a\nb", "é"):
        with pytest.raises(ValueError, match="header"):
            CapsuleClient("http://127.0.0.1:1", api_key=key).health()
