"""API keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Server

from capsule_sdk import CapsuleClient, CapsuleError, NotAuthorized, NotFound


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """A server that wants a key."""
    server = Server("--listen", "127.0.0.1:0", needs_key=True)
    yield server
    server.stop()


def test_without_a_key_nothing_is_done(guarded: Server) -> None:
    for key in (None, "cap_wrong"):
        client = CapsuleClient(guarded.url, api_key=key)
        assert client.health()["status"] == "ok"
        with pytest.raises(NotAuthorized) as refused:
            client.create()
        assert (refused.value.code, refused.value.rpc_code) == ("E5004", -32014)
        assert isinstance(refused.value, PermissionError | CapsuleError)
        with pytest.raises(NotAuthorized):
            client.sandbox("x").connect_terminal()
        with pytest.raises(NotAuthorized):
            client.sandbox("x").write_file("f", b"x" * 10_000_000)
        with pytest.raises(NotAuthorized):
            client.sandbox("x").read_file("f")


def test_a_key_opens_everything_that_is_its_own(guarded: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = guarded.key("one"), guarded.key("other")
    monkeypatch.setenv("CAPSULE_URL", guarded.url)
    monkeypatch.setenv("CAPSULE_API_KEY", one)
    with CapsuleClient() as client, client.create("shell") as sandbox:
        sandbox.write_file("f", "mine")
        with sandbox.connect_terminal() as terminal:
            terminal.send("exit 3\n")
            assert list(terminal)
            assert terminal.exit_code == 3
        assert [event.kind for event in sandbox.exec_stream(["true"])] == ["started", "exit"]
        stranger = CapsuleClient(guarded.url, api_key=other)
        assert list(stranger.sandboxes()) == []
        with pytest.raises(NotFound):
            stranger.sandbox(sandbox.id).read_file("f")
