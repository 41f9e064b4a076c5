"""The same with ``asyncio``, and what only it can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from serving import Server

from capsule_sdk import AsyncCapsuleClient, AsyncSandbox, NotFound, ReadFileFailed

Test = Callable[[AsyncCapsuleClient, AsyncSandbox], Coroutine[Any, Any, None]]


def with_sandbox(test: Test) -> Callable[[Server], None]:
    @wraps(test)
    def run(server: Server) -> None:
        async def inside() -> None:
            async with AsyncCapsuleClient(server.url) as client, await client.create("python") as sandbox:
                await test(client, sandbox)

        asyncio.run(inside())

    # pytest reads the names of the parameters.
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


@with_sandbox
async def test_calls_run_side_by_side(client: AsyncCapsuleClient, sandbox: AsyncSandbox) -> None:
    # Each waits for the next: they come to an end only together.
    await sandbox.exec(["sh", "-c", "mkfifo 1 2 3"])
    chain = [
        ["sh", "-c", "cat 1"],
        ["sh", "-c", "cat 2 >1"],
        ["sh", "-c", "cat 3 >2"],
        ["sh", "-c", "echo x >3"],
    ]
    told = await asyncio.gather(*(sandbox.exec(cmd, timeout_ms=30_000) for cmd in chain))
    assert told[0].stdout == "x\n"


@with_sandbox
async def test_a_call_that_is_cancelled_ends_its_command(
    client: AsyncCapsuleClient, sandbox: AsyncSandbox
) -> None:
    call = asyncio.create_task(sandbox.exec(["sh", "-c", "touch begun; sleep 1000"], timeout_ms=100_000))
    while not [one for one in await sandbox.list_dir() if one.name == "begun"]:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while any(one.exit is None for one in await sandbox.processes()):
        await asyncio.sleep(0.01)
    assert (await sandbox.run("print(1)")).stdout == "1\n"


@with_sandbox
async def test_output_and_states_come_as_they_are(client: AsyncCapsuleClient, sandbox: AsyncSandbox) -> None:
    async with sandbox.exec_stream(["sh", "-c", "echo a; echo b >&2; exit 3"]) as output:
        events = [event async for event in output]
    assert events[0].kind == "started"
    assert sorted((one.kind, one.text) for one in events[1:-1]) == [("stderr", "b\n"), ("stdout", "a\n")]
    assert events[-1].exit is not None
    assert events[-1].exit.exit_code == 3
    async with sandbox.watch() as states:
        assert await anext(states) == "ready"
        await sandbox.pause()
        assert await anext(states) == "paused"
        await sandbox.resume()


@with_sandbox
async def test_a_large_output_is_whole(client: AsyncCapsuleClient, sandbox: AsyncSandbox) -> None:
    size = 0
    async for event in sandbox.exec_stream(["head", "-c", "30000000", "/dev/zero"], timeout_ms=60_000):
        size += len(event.data)
    assert size == 30_000_000


@with_sandbox
async def test_a_process_and_its_terminal(client: AsyncCapsuleClient, sandbox: AsyncSandbox) -> None:
    process = await sandbox.start(["cat"], terminal={"columns": 80, "rows": 24})
    async with await process.connect_terminal() as terminal:
        await terminal.send("hello\n")
        seen = b""
        while seen.count(b"hello") < 2:
            seen += await terminal.receive(deadline_ms=20_000)
        await terminal.send(b"\x04")
        assert [data async for data in terminal if b"hello" in data] == []
        assert terminal.exit_code == 0
    ended = await process.wait()
    assert ended is not None
    assert ended.exit_code == 0
    with pytest.raises(NotFound) as refused:
        await sandbox.process(999_999).connect_terminal()
    assert refused.value.code == "E1016"


@with_sandbox
async def test_files_in_pieces(client: AsyncCapsuleClient, sandbox: AsyncSandbox) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000
            await asyncio.sleep(0)

    await sandbox.upload(pieces(), "up")
    assert (await sandbox.stat("up")).size == 10_000_000
    async with await sandbox.open_file("up") as download:
        assert download.size == 10_000_000
        assert sum([len(piece) async for piece in download]) == 10_000_000
    with pytest.raises(ReadFileFailed):
        await sandbox.read_file("down")
    assert [one.id async for one in client.sandboxes() if one.id == sandbox.id] == [sandbox.id]


def test_a_client_is_used_by_one_loop_after_the_other(server: Server) -> None:
    client = AsyncCapsuleClient(server.url)

    async def ask() -> Any:
        return (await client.health())["status"]

    assert [asyncio.run(ask()) for _ in range(3)] == ["ok"] * 3


def test_over_a_unix_socket(tmp_path: Path) -> None:
    server = Server("--unix", str(tmp_path / "socket"))
    try:

        async def ask() -> tuple[str, bytes]:
            async with AsyncCapsuleClient(f"unix:{tmp_path}/socket") as client:
                async with (
                    await client.create("shell") as sandbox,
                    await sandbox.connect_terminal() as terminal,
                ):
                    await terminal.send("echo $((6*7)); exit\n")
                    seen = b"".join([data async for data in terminal])
                    return (await sandbox.run("echo hi")).stdout, seen

        told, seen = asyncio.run(ask())
        assert told == "hi\n"
        assert b"42" in seen
        from capsule_sdk import CapsuleClient

        with CapsuleClient(f"unix://{tmp_path}/socket") as client, client.create("shell") as sandbox:
            sandbox.write_file("f", "x" * 1_000_000)
            assert len(sandbox.read_file("f")) == 1_000_000
    finally:
        server.stop()
