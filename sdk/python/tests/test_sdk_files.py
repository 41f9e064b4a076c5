"""Files, of any size, under any name."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server

from capsule_sdk import CapsuleClient, FileFailed, ListDirFailed, ReadFileFailed, Sandbox, WriteFileFailed


@pytest.mark.parametrize(
    "name",
    ["plain", "with space", "quote'\"", "$(touch x);&|", "ünï-\u2603", "a%20b+c?d#e", "-rf", "new\nline"],
)
def test_any_name_is_a_name(sandbox: Sandbox, name: str) -> None:
    sandbox.write_file(f"/workspace/in/{name}", name)
    assert sandbox.read_file_text(f"/workspace/in/{name}") == name
    assert [one.name for one in sandbox.list_dir("/workspace/in")] == [name]
    assert sandbox.stat(f"in/{name}").size == len(name.encode())


@pytest.mark.parametrize("size", [0, 1, 100_001, 1 << 20, 20_000_003])
def test_a_file_comes_back_as_it_went(sandbox: Sandbox, size: int) -> None:
    content = os.urandom(size)
    sandbox.write_file("file", content, mode=0o640)
    assert sandbox.read_file("file") == content
    told = sandbox.stat("file")
    assert (told.size, told.mode, told.kind, told.is_dir) == (size, 0o640, "file", False)


def test_anything_can_be_uploaded(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"from a path")

    def pieces() -> Iterator[bytes]:
        yield b"in "
        yield b""
        yield b"pieces"

    for name, source, content in [
        ("text", "é", "é".encode()),
        ("array", bytearray(b"array"), b"array"),
        ("view", memoryview(b"xviewx")[1:5], b"view"),
        ("path", tmp_path / "local", b"from a path"),
        ("file", io.BytesIO(b"open file"), b"open file"),
        ("pieces", pieces(), b"in pieces"),
    ]:
        sandbox.upload(source, f"up/{name}")
        assert sandbox.read_file(f"up/{name}") == content


def test_a_download_is_whole_or_not_there(sandbox: Sandbox, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    sandbox.write_file("big", content)
    assert sandbox.download("big", tmp_path / "copy") == len(content)
    assert (tmp_path / "copy").read_bytes() == content
    into = io.BytesIO()
    sandbox.download("big", into)
    assert into.getvalue() == content
    with pytest.raises(ReadFileFailed):
        sandbox.download("nothing", tmp_path / "nothing")
    with sandbox.open_file("big") as download:
        assert download.size == len(content)
        assert next(download)
    assert os.listdir(tmp_path) == ["copy"]


def test_entries_are_moved_and_removed(sandbox: Sandbox) -> None:
    sandbox.mkdir("a/b")
    sandbox.write_file("a/b/c", "x")
    sandbox.move("a/b/c", "a/d")
    assert {(one.name, one.is_dir) for one in sandbox.list_dir("a")} == {("b", True), ("d", False)}
    sandbox.exec(["ln", "-s", "d", "a/link"]).check()
    told = sandbox.stat("a/link")
    assert (told.kind, told.target) == ("link", "d")
    with pytest.raises(FileFailed):
        sandbox.remove("a")
    sandbox.remove("a", recursive=True)
    assert sandbox.list_dir() == []


def test_what_cannot_be_done_is_an_error_with_a_code(sandbox: Sandbox) -> None:
    with pytest.raises(ListDirFailed) as missing:
        sandbox.list_dir("/workspace/nothing")
    assert (missing.value.code, missing.value.rpc_code, missing.value.type) == (
        "E3010",
        -32010,
        "LIST_DIR_FAILED",
    )
    assert missing.value.request_id
    with pytest.raises(ReadFileFailed, match=r"\[E3010\]"):
        sandbox.read_file("nothing")
    with pytest.raises(WriteFileFailed) as denied:
        sandbox.write_file("/etc/passwd", "x" * 3_000_000)
    assert denied.value.code == "E3011"
    assert isinstance(denied.value, OSError)
    with pytest.raises(ReadFileFailed):
        sandbox.read_file("../../etc/shadow")


def test_nothing_of_a_large_file_is_kept_in_memory(
    client: CapsuleClient, server: Server, tmp_path: Path
) -> None:
    sandbox = client.create("shell", limits={"memory_bytes": 1 << 30, "disk_bytes": 1 << 30})
    size = 200 << 20
    local = tmp_path / "large"
    with local.open("wb") as file:
        file.truncate(size)
    program = f"""
        import resource, sys
        from pathlib import Path
        from capsule_sdk import CapsuleClient
        sandbox = CapsuleClient({server.url!r}).sandbox({sandbox.id!r})
        sandbox.exec(["true"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sandbox.upload(Path({str(local)!r}), "large")
        sandbox.download("large", {str(local) + ".copy"!r})
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    sandbox.delete()
    # In KiB.
    assert int(done.stdout) < 16 * 1024
    assert (
        hashlib.sha256(Path(f"{local}.copy").read_bytes()).digest()
        == hashlib.sha256(local.read_bytes()).digest()
    )
