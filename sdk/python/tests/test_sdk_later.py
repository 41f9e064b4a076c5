"""Methods that a server of this revision may not have yet. Those that it has are tested; a
test that it cannot pass is none (see ``needs``), so nothing is skipped."""

from __future__ import annotations

import io
import tarfile
import time
from pathlib import Path

import pytest
from serving import METHODS, needs

from capsule_sdk import CapsuleClient, InvalidParams, NotFound, Sandbox, WrongState


@needs("sandbox.v1.setNetwork")
def test_the_network_is_changed_while_it_lives(client: CapsuleClient, sandbox: Sandbox) -> None:
    assert sandbox.info().network == "denied"
    policy = {"allow": ["example.org", "*.example.com:443"]}
    assert sandbox.set_network({"allow": ["example.org", "*.example.com:443"]}).network == policy
    assert sandbox.set_network("denied").network == "denied"
    with pytest.raises(InvalidParams):
        client.call("sandbox.v1.setNetwork", {"id": sandbox.id, "network": "everything"})


@needs("sandbox.v1.watchDir")
def test_changes_of_files_are_told(sandbox: Sandbox) -> None:
    sandbox.mkdir("watched")
    with sandbox.watch_dir("watched") as changes:
        changes.started()
        sandbox.write_file("watched/new", "x")
        seen = next(change for change in changes if change.path.endswith("new"))
        assert seen.kind in ("created", "modified", "moved")
        sandbox.remove("watched/new")
        assert next(change for change in changes if change.kind == "removed").path.endswith("new")


@needs("sandbox.v1.install")
def test_an_installation_that_fails_is_a_result(sandbox: Sandbox) -> None:
    # There is no index that it may reach.
    told = sandbox.install(["no-such-package-of-anybody"], manager="pip", timeout_ms=60_000)
    assert told.exit_code != 0


@needs("sandbox.v1.setNetwork")
def test_archives_come_and_go(sandbox: Sandbox, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("folder/file")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    sandbox.upload_archive(packed.getvalue(), "/workspace/unpacked")
    assert sandbox.read_file("unpacked/folder/file") == b"hello"
    assert sandbox.download_archive(tmp_path / "all.tar", "/workspace/unpacked") > 0
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = [name.removeprefix("./") for name in archive.getnames()]
    assert any(name.endswith("folder/file") for name in names)


@needs("sandbox.v1.setNetwork")
def test_a_part_of_a_file_is_read(sandbox: Sandbox) -> None:
    sandbox.write_file("digits", "0123456789")
    for start, end, part in [(2, 5, b"234"), (7, None, b"789"), (None, 1, b"0")]:
        with sandbox.open_file("digits", start=start, end=end) as download:
            assert b"".join(download) == part


@needs("sandbox.v1.snapshot")
def test_files_are_kept_and_brought_back(client: CapsuleClient, sandbox: Sandbox) -> None:
    sandbox.write_file("kept", "before")
    snapshot = sandbox.snapshot(name="sdk", labels={"of": "sdk"})
    assert (snapshot.sandbox, snapshot.labels) == (sandbox.id, {"of": "sdk"})
    assert [one.id for one in client.snapshots(labels={"of": "sdk"}).snapshots] == [snapshot.id]
    sandbox.write_file("kept", "after")
    assert sandbox.restore(snapshot).id == sandbox.id
    assert sandbox.read_file("kept") == b"before"
    with client.create(snapshot=snapshot) as other:
        assert other.read_file("kept") == b"before"
    client.delete_snapshot(snapshot)
    assert client.snapshots(labels={"of": "sdk"}).snapshots == []


@needs("sandbox.v1.clone")
def test_a_clone_has_the_files(sandbox: Sandbox) -> None:
    sandbox.write_file("kept", "mine")
    with sandbox.clone(labels={"of": "clone"}) as other:
        assert other.id != sandbox.id
        assert other.read_file("kept") == b"mine"


@needs("volume.v1.create")
def test_a_volume_outlives_sandboxes(client: CapsuleClient) -> None:
    volume = client.create_volume("sdk", 16 << 20)
    try:
        assert volume.size_bytes == 16 << 20
        assert "sdk" in [one.name for one in client.volumes()]
        with client.create(volumes=[{"volume": "sdk", "path": "/data", "mode": "rw"}]) as first:
            assert first.info().volumes == [{"volume": "sdk", "path": "/data", "mode": "rw"}]
            with pytest.raises(WrongState) as refused:
                client.delete_volume("sdk")
            assert refused.value.code == "E3017"
            first.exec(["sh", "-c", "echo kept >/data/file"]).check()
        with client.create(volumes=[{"volume": "sdk", "path": "/data", "mode": "ro"}]) as second:
            assert second.exec(["cat", "/data/file"]).stdout == "kept\n"
            assert second.exec(["sh", "-c", "echo no >/data/file"]).exit_code != 0
    finally:
        client.delete_volume("sdk")
    with pytest.raises(NotFound):
        client.delete_volume("sdk")


@needs("sandbox.v1.create")
def test_a_sandbox_whose_time_is_over_is_paused(client: CapsuleClient) -> None:
    with client.create("shell", on_expiry="pause") as sandbox:
        sandbox.write_file("kept", "mine")
        assert sandbox.extend(1).on_expiry == "pause"
        with sandbox.watch() as states:
            next(told for told in states if told == "paused")
        while not (kept := [one for one in client.snapshots().snapshots if one.id == sandbox.id]):
            time.sleep(0.02)
        assert kept[0].sandbox == sandbox.id
        assert sandbox.extend(60_000).state == "paused"
        assert sandbox.resume().state == "ready"
        assert sandbox.read_file("kept") == b"mine"


def test_the_package_speaks_of_nothing_else() -> None:
    from test_sdk_schema import WHERE

    assert set(WHERE) <= set(METHODS)
