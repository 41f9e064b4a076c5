# Made from _async/sandbox.py by generate_sync.py. Change that one.
"""A sandbox: commands, processes, files, its life."""

from __future__ import annotations

import base64 as _encoding
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self, TypeVar

from .._calls import without_none
from .._http import query, segment
from .._types import (
    BatchResult,
    Command,
    Created,
    ExecResult,
    FileInfo,
    FileStat,
    Limits,
    LogEntry,
    NetworkPolicy,
    ProcessInfo,
    SandboxInfo,
    Snapshot,
    Stats,
    TerminalSize,
    VolumeMount,
    Webhook,
    read,
)
from ..errors import NotFound, ProtocolError
from .events import Changes, Output, States
from .files import Download, Source, length_of, pieces_of, save
from .process import Process
from .terminal import Terminal

if TYPE_CHECKING:
    from .client import CapsuleClient

__all__ = ["Sandbox", "listed"]

T = TypeVar("T")


def listed(kind: type[T], told: object, name: str) -> list[T]:
    """A list of an answer, as types."""
    each = told.get(name) if isinstance(told, dict) else None
    if not isinstance(each, list):
        raise ProtocolError(f"the server answered without {name}")
    return [read(kind, one) for one in each]


def _base64(data: bytes) -> str:
    return _encoding.b64encode(data).decode()


class Sandbox:
    """A sandbox. ``async with`` deletes it at the end.

    Every method takes ``deadline_ms``, the time that the call as a whole may take; what a
    command may take is ``timeout_ms``, which the server enforces.
    """

    def __init__(self, client: CapsuleClient, id: str, created: Created | None = None) -> None:
        self.client = client
        #: What the server calls it.
        self.id = id
        #: What was told when it was made; None if it was found by its id.
        self.created = created

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        try:
            self.delete()
        except NotFound:
            # Its time was over.
            pass
        except Exception:
            # What went wrong inside is what the caller has to see.
            if error is None:
                raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def _call(self, method: str, deadline_ms: float | None, **params: object) -> Any:
        given = without_none(id=self.id, **params)
        return self.client.call(f"sandbox.v1.{method}", given, deadline_ms=deadline_ms)

    # --- commands ---

    def run(
        self,
        code: str,
        *,
        language: Literal["python", "javascript", "go", "shell"] | None = None,
        timeout_ms: int | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        context: str | None = None,
        max_stdout_bytes: int | None = None,
        max_stderr_bytes: int | None = None,
        base64: bool | None = None,
        deadline_ms: float | None = None,
    ) -> ExecResult:
        """Runs source text, in the template's language unless ``language`` says another."""
        told = self._call(
            "runCode",
            deadline_ms,
            code=code,
            language=language,
            timeout_ms=timeout_ms,
            cwd=cwd,
            env=env,
            context=context,
            max_stdout_bytes=max_stdout_bytes,
            max_stderr_bytes=max_stderr_bytes,
            base64=base64,
        )
        return read(ExecResult, told)

    def exec(
        self,
        cmd: Sequence[str],
        *,
        timeout_ms: int | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | bytes | None = None,
        context: str | None = None,
        max_stdout_bytes: int | None = None,
        max_stderr_bytes: int | None = None,
        base64: bool | None = None,
        deadline_ms: float | None = None,
    ) -> ExecResult:
        """Runs a command to its end. No shell reads it. A command that fails is a result, not an
        exception: see :meth:`ExecResult.check`."""
        if isinstance(cmd, str):
            raise TypeError("cmd is a list of the program and its arguments; run() takes source text")
        told = self._call(
            "exec",
            deadline_ms,
            cmd=list(cmd),
            timeout_ms=timeout_ms,
            cwd=cwd,
            env=env,
            stdin=stdin if isinstance(stdin, str) else None,
            stdin_base64=_base64(stdin) if isinstance(stdin, bytes) else None,
            context=context,
            max_stdout_bytes=max_stdout_bytes,
            max_stderr_bytes=max_stderr_bytes,
            base64=base64,
        )
        return read(ExecResult, told)

    def batch(
        self,
        commands: Sequence[Command | Sequence[str]],
        *,
        stop_on_failure: bool | None = None,
        deadline_ms: float | None = None,
    ) -> BatchResult:
        """Runs several commands, one after the other. One is a list of words, or a mapping with the
        fields of :meth:`exec`."""
        each = [one if isinstance(one, Mapping) else {"cmd": list(one)} for one in commands]
        told = self._call("batch", deadline_ms, commands=each, stop_on_failure=stop_on_failure)
        return read(BatchResult, told)

    def exec_stream(
        self,
        cmd: Sequence[str],
        *,
        timeout_ms: int | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        context: str | None = None,
        terminal: TerminalSize | None = None,
        input: bool | None = None,
        deadline_ms: float | None = None,
    ) -> Output:
        """Runs a command and tells its output as it comes. It ends with the stream. With
        ``input=True``, ``sandbox.process(output.process)`` takes input."""
        params = without_none(
            id=self.id,
            cmd=list(cmd),
            timeout_ms=timeout_ms,
            cwd=cwd,
            env=env,
            context=context,
            terminal=terminal,
            input=input,
        )
        transport = self.client._transport
        return Output(transport, "sandbox.v1.execStream", params, deadline_ms, can_return=False)

    def set_env(
        self,
        env: Mapping[str, str] | None = None,
        *,
        unset: Sequence[str] | None = None,
        deadline_ms: float | None = None,
    ) -> None:
        """Sets and removes variables for what is started later."""
        self._call("setEnv", deadline_ms, env=env, unset=unset)

    def open_context(
        self,
        context: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        deadline_ms: float | None = None,
    ) -> None:
        """Opens a shell context: shell code in it leaves its directory and its exported variables
        for the next."""
        self._call("openContext", deadline_ms, context=context, cwd=cwd, env=env)

    def install(
        self,
        packages: Sequence[str],
        *,
        manager: Literal["pip", "npm"] = "pip",
        timeout_ms: int | None = None,
        deadline_ms: float | None = None,
    ) -> ExecResult:
        """Installs packages into the workspace."""
        told = self._call(
            "install", deadline_ms, manager=manager, packages=list(packages), timeout_ms=timeout_ms
        )
        return read(ExecResult, told)

    def logs(
        self,
        *,
        contains: str | None = None,
        failed: bool | None = None,
        kind: str | None = None,
        limit: int | None = None,
        before: int | None = None,
        deadline_ms: float | None = None,
    ) -> Sequence[LogEntry]:
        """Executions of the past, newest first."""
        return self.client.logs(
            id=self.id,
            contains=contains,
            failed=failed,
            kind=kind,
            limit=limit,
            before=before,
            deadline_ms=deadline_ms,
        )

    # --- processes ---

    def start(
        self,
        cmd: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        context: str | None = None,
        terminal: TerminalSize | None = None,
        timeout_ms: int | None = None,
        webhook: Webhook | None = None,
        deadline_ms: float | None = None,
    ) -> Process:
        """Starts a process that outlives the request."""
        told = self._call(
            "start",
            deadline_ms,
            cmd=list(cmd),
            cwd=cwd,
            env=env,
            context=context,
            terminal=terminal,
            timeout_ms=timeout_ms,
            webhook=webhook,
        )
        if not isinstance(told, dict) or not isinstance(told.get("process"), int):
            raise ProtocolError("the server started a process without a number")
        return Process(self, told["process"])

    def process(self, number: int) -> Process:
        """A process by its number. Nothing is asked."""
        return Process(self, number)

    def processes(self, *, deadline_ms: float | None = None) -> list[ProcessInfo]:
        """Processes that were started, and those that ended of late."""
        return listed(ProcessInfo, self._call("processes", deadline_ms), "processes")

    # --- terminals ---

    def connect_terminal(
        self,
        *,
        columns: int | None = None,
        rows: int | None = None,
        process: int | None = None,
        offset: int | None = None,
        deadline_ms: float | None = None,
    ) -> Terminal:
        """A login shell in a terminal, or the terminal of a process."""
        values = query({"control": 1, "columns": columns, "rows": rows, "process": process, "offset": offset})
        target = f"/terminal/{segment(self.id)}{values}"
        return Terminal.open(self.client._transport, target, deadline_ms)

    def get_terminal_url(self) -> str:
        """The address of its terminal, for a WebSocket client of your own: the server sends raw
        bytes, and what it is sent is typed. A key goes along as a header or a protocol."""
        return self.client._transport.address.url("ws", f"/terminal/{segment(self.id)}")

    # --- files ---

    def write_file(
        self, path: str, content: Source, *, mode: int | None = None, deadline_ms: float | None = None
    ) -> None:
        """Writes a file of any size, and makes the directories above it; ``mode`` is that of a new
        file (0o644)."""
        self.upload(content, path, mode=mode, deadline_ms=deadline_ms)

    def read_file(self, path: str, *, deadline_ms: float | None = None) -> bytes:
        """The content of a file, as bytes, in memory."""
        download = self.open_file(path, deadline_ms=deadline_ms)
        return self.client._transport.whole(download._answer, deadline_ms, "read_file")

    def read_file_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", deadline_ms: float | None = None
    ) -> str:
        """The content of a file, as text."""
        return (self.read_file(path, deadline_ms=deadline_ms)).decode(encoding, errors)

    def upload(
        self, source: Source, path: str, *, mode: int | None = None, deadline_ms: float | None = None
    ) -> None:
        """Uploads what a local path, an open file, bytes, or pieces hold; never more than a piece
        of it is in memory. ``deadline_ms`` is for the answer after the last piece."""
        octal = None if mode is None else f"{mode:o}"
        self._put({"path": path, "mode": octal}, source, deadline_ms)

    def download(
        self, path: str, place: str | os.PathLike[str] | BinaryIO, *, deadline_ms: float | None = None
    ) -> int:
        """Downloads to a local path, which is then whole or not there, or into an open file.
        Gives the size."""
        with self.open_file(path, deadline_ms=deadline_ms) as download:
            return save(download, place)

    def open_file(
        self,
        path: str,
        *,
        start: int | None = None,
        end: int | None = None,
        deadline_ms: float | None = None,
    ) -> Download:
        """The content of a file as an iterator of bytes; of the bytes from ``start`` to before
        ``end``, if they are given."""
        headers = {}
        if start is not None or end is not None:
            if (start or 0) < 0 or (end is not None and end <= (start or 0)):
                raise ValueError(f"there is no byte from {start} to before {end}")
            headers["range"] = f"bytes={start or 0}-{'' if end is None else end - 1}"
        answer = self.client._transport.get(
            self._files({"path": path}), headers, deadline_ms, "open_file"
        )
        if headers and answer.head.status != 206:
            answer.close()
            raise ProtocolError("the server does not serve parts of a file")
        return Download(self.client._transport, answer)

    def upload_archive(
        self, source: Source, path: str = "/workspace", *, deadline_ms: float | None = None
    ) -> None:
        """Unpacks a tar archive below a directory."""
        self._put({"path": path, "archive": "tar"}, source, deadline_ms)

    def download_archive(
        self,
        place: str | os.PathLike[str] | BinaryIO,
        path: str = "/workspace",
        *,
        deadline_ms: float | None = None,
    ) -> int:
        """A directory as a tar archive, into a local file. Gives the size."""
        with self.open_archive(path, deadline_ms=deadline_ms) as download:
            return save(download, place)

    def open_archive(
        self, path: str = "/workspace", *, deadline_ms: float | None = None
    ) -> Download:
        """A directory as a tar archive, as an iterator of bytes."""
        target = self._files({"path": path, "archive": "tar"})
        answer = self.client._transport.get(target, {}, deadline_ms, "open_archive")
        return Download(self.client._transport, answer)

    def _files(self, values: Mapping[str, str | int | None]) -> str:
        return f"/sandbox/{segment(self.id)}/files{query(values)}"

    def _put(self, values: Mapping[str, str | None], source: Source, deadline_ms: float | None) -> None:
        target, length = self._files(values), length_of(source)
        self.client._transport.put(target, pieces_of(source), length, deadline_ms, "the upload")

    def list_dir(
        self, path: str = "/workspace", *, limit: int | None = None, deadline_ms: float | None = None
    ) -> list[FileInfo]:
        """What a directory holds, by name."""
        return listed(FileInfo, self._call("listDir", deadline_ms, path=path, limit=limit), "files")

    def stat(self, path: str, *, deadline_ms: float | None = None) -> FileStat:
        """What a path is; a link is not followed."""
        return read(FileStat, self._call("stat", deadline_ms, path=path))

    def mkdir(self, path: str, *, deadline_ms: float | None = None) -> None:
        """Makes a directory, and those above it."""
        self._call("mkdir", deadline_ms, path=path)

    def move(self, source: str, target: str, *, deadline_ms: float | None = None) -> None:
        """Gives a file or directory another name; a file of that name is replaced."""
        self._call("move", deadline_ms, **{"from": source, "to": target})

    def remove(
        self, path: str, *, recursive: bool | None = None, deadline_ms: float | None = None
    ) -> None:
        """Removes a file, or a directory."""
        self._call("remove", deadline_ms, path=path, recursive=recursive)

    def watch_dir(
        self, path: str = "/workspace", *, recursive: bool | None = None, deadline_ms: float | None = None
    ) -> Changes:
        """What happens to the files of a directory, as it happens."""
        params = without_none(id=self.id, path=path, recursive=recursive)
        return Changes(self.client._transport, "sandbox.v1.watchDir", params, deadline_ms)

    # --- its life ---

    def info(self, *, deadline_ms: float | None = None) -> SandboxInfo:
        """Everything about it."""
        return read(SandboxInfo, self._call("get", deadline_ms))

    def extend(
        self, ttl_ms: int, *, idle_ms: int | None = None, deadline_ms: float | None = None
    ) -> SandboxInfo:
        """Lets it live so long from now; can be less than it had."""
        return read(SandboxInfo, self._call("extend", deadline_ms, ttl_ms=ttl_ms, idle_ms=idle_ms))

    def pause(self, *, deadline_ms: float | None = None) -> SandboxInfo:
        """Stops all its processes where they are."""
        return read(SandboxInfo, self._call("pause", deadline_ms))

    def resume(self, *, deadline_ms: float | None = None) -> SandboxInfo:
        """Lets them go on."""
        return read(SandboxInfo, self._call("resume", deadline_ms))

    def stats(self, *, deadline_ms: float | None = None) -> Stats:
        """What it uses."""
        return read(Stats, self._call("stats", deadline_ms))

    def watch(self, *, deadline_ms: float | None = None) -> States:
        """Its states, from now on, until it is gone."""
        return States(self.client._transport, "sandbox.v1.watch", {"id": self.id}, deadline_ms)

    def set_network(self, network: NetworkPolicy, *, deadline_ms: float | None = None) -> SandboxInfo:
        """Changes which hosts it may reach: ``"denied"`` or ``{"allow": ["host", …]}``."""
        return read(SandboxInfo, self._call("setNetwork", deadline_ms, network=network))

    def snapshot(
        self,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        deadline_ms: float | None = None,
    ) -> Snapshot:
        """Keeps its files as they are."""
        told = self._call("snapshot", deadline_ms, name=name, labels=labels)
        return read(Snapshot, told.get("snapshot") if isinstance(told, dict) else None)

    def restore(self, snapshot: str | Snapshot, *, deadline_ms: float | None = None) -> SandboxInfo:
        """Makes its files what they were; what runs in it is ended."""
        which = snapshot if isinstance(snapshot, str) else snapshot.id
        return read(SandboxInfo, self._call("restore", deadline_ms, snapshot=which))

    def clone(
        self,
        *,
        ttl_ms: int | None = None,
        idle_ms: int | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        key: str | None = None,
        limits: Limits | None = None,
        network: NetworkPolicy | None = None,
        volumes: Sequence[VolumeMount] | None = None,
        on_expiry: Literal["delete", "pause"] | None = None,
        deadline_ms: float | None = None,
    ) -> Sandbox:
        """Another sandbox with the same files."""
        told = self._call(
            "clone",
            deadline_ms,
            ttl_ms=ttl_ms,
            idle_ms=idle_ms,
            env=env,
            labels=labels,
            metadata=metadata,
            key=key,
            limits=limits,
            network=network,
            volumes=volumes,
            on_expiry=on_expiry,
        )
        created = read(Created, told)
        return Sandbox(self.client, created.id, created)

    def delete(self, *, deadline_ms: float | None = None) -> None:
        """Ends it, and removes every trace of it."""
        self._call("delete", deadline_ms)
