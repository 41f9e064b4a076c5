"""Webhooks, as who sends a process off and who is told of its end have them; and what a server
says of its host."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from serving import Server

from capsule_sdk import CapsuleClient, InvalidParams, NotAuthorized

#: What came: the headers and the body.
Told = tuple[dict[str, str], bytes]


class Listener:
    """An HTTP server on loopback that is told of ends. It fails at first, as one that is just
    being started again does."""

    def __init__(self) -> None:
        heard: queue.Queue[Told] = queue.Queue()

        class Answer(BaseHTTPRequestHandler):
            failed = False

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                heard.put(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204 if Answer.failed else 503)
                Answer.failed = True
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.heard = heard
        self._server = HTTPServer(("127.0.0.1", 0), Answer)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/told?by=capsule"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Somebody who is told."""
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def telling(listener: Listener) -> Iterator[CapsuleClient]:
    """A client of a server that may tell the listener, and nobody else inside."""
    server = Server("--listen", "127.0.0.1:0", "--allow-webhook", f"127.0.0.1:{listener.port}")
    try:
        with CapsuleClient(server.url) as client:
            yield client
    finally:
        server.stop()


def test_the_end_of_a_process_is_told_with_a_signature(telling: CapsuleClient, listener: Listener) -> None:
    with telling.create("shell") as sandbox:
        webhook = {"url": listener.url, "secret": "sé cret"}
        process = sandbox.start(["sh", "-c", "exit 7"], webhook=webhook)  # type: ignore[arg-type]
        first, second = (listener.heard.get(timeout=30) for _ in range(2))
        # Told again, because it was not taken: whoever hears it knows by this that it is the same.
        assert first[0]["x-capsule-delivery"] == second[0]["x-capsule-delivery"]
        for headers, body in (first, second):
            told = json.loads(body)
            assert (told["event"], told["sandbox"]) == ("process.exited", sandbox.id)
            assert (told["process"], told["exit"]["exit_code"]) == (process.number, 7)
            signature = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["x-capsule-signature"])
            assert signature is not None, headers
            stamp, given = signature.groups()
            assert abs(time.time() - int(stamp)) < 600
            expected = hmac.new("sé cret".encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
            assert hmac.compare_digest(given, expected)
        # Without a secret nothing pretends to be signed.
        sandbox.start(["true"], webhook={"url": listener.url})
        headers, body = listener.heard.get(timeout=30)
        assert json.loads(body)["exit"]["exit_code"] == 0
        assert "x-capsule-signature" not in headers


def test_a_webhook_goes_nowhere_else_inside(telling: CapsuleClient, listener: Listener) -> None:
    with telling.create("shell") as sandbox:
        for url in (
            # The operator named one port.
            f"http://127.0.0.1:{listener.port + 1}/",
            f"http://[::ffff:127.0.0.1]:{listener.port + 1}/",
            "http://169.254.169.254/latest/meta-data/",
            "http://10.0.0.1/",
        ):
            with pytest.raises(InvalidParams) as refused:
                sandbox.start(["sh", "-c", "echo ran >>ran"], webhook={"url": url})
            assert refused.value.code == "E5006", url
        for url in ("file:///etc/passwd", "http://user:secret@example.org/", "nowhere", "http://a b/"):
            with pytest.raises(InvalidParams):
                sandbox.start(["sh", "-c", "echo ran >>ran"], webhook={"url": url})
        # What is refused has not run.
        assert sandbox.exec(["cat", "ran"]).exit_code != 0
    assert listener.heard.empty()


def test_the_host_is_examined(client: CapsuleClient) -> None:
    report = client.doctor(deadline_ms=120_000)
    jail = next(one for one in report["backends"] if one["backend"] == "jail")
    assert jail["usable"] is True
    assert jail["facts"]["kernel"].startswith("Linux ")
    assert {wall["wall"] for wall in jail["walls"]} >= {"user", "network", "seccomp"}
    assert {wall["state"] for wall in jail["walls"]} <= {"full", "partial", "none"}


def test_a_stranger_learns_nothing_of_the_host() -> None:
    server = Server("--listen", "127.0.0.1:0", needs_key=True)
    try:
        for key in (None, "cap_wrong"):
            with CapsuleClient(server.url, api_key=key) as stranger, pytest.raises(NotAuthorized) as refused:
                stranger.doctor()
            assert refused.value.code == "E5004"
        with CapsuleClient(server.url, api_key=server.key("mine")) as client:
            assert client.doctor(deadline_ms=120_000)["backends"]
    finally:
        server.stop()
