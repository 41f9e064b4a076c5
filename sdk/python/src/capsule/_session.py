"""Sessions: code whose names live from one piece of code to the next, in one sandbox."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from . import _binary, _result, _run, _worker
from ._protocol import Channel, Frame
from ._result import Evaluation
from ._run import Path
from ._worker import OutputHandler, Worker, field
from .errors import SessionLost, WorkerError

__all__ = ["Session", "SyncSession"]


class _Session:
    """What both kinds share: who they are, and how they ask."""

    def __init__(
        self,
        type: Literal["python", "javascript"] = "python",
        *,
        compute: str | int | None = None,
        ram: str | int | None = None,
        timeout: str | int | None = None,
        allowed_hosts: Iterable[str] | None = None,
        env_variables: Iterable[str] | None = None,
        mounts: Sequence[str] | None = None,
        cwd: Path | None = None,
        on_output: OutputHandler | None = None,
        capsule_path: Path | None = None,
    ) -> None:
        """Begins when its first code runs.

        :param type: the language: ``"python"``, or ``"javascript"``, which takes TypeScript too
        :param compute: what each piece of code may burn, as for :func:`capsule.task`
        :param ram: memory, ``"512MB"``; default ``"256MiB"``
        :param timeout: how long each piece of code may run, ``"30s"``; default ``"5m"``
        :param allowed_hosts: hosts that it may reach; default: none
        :param env_variables: names of environment variables that it sees; default: none
        :param mounts: files and folders of the host that it sees, as for :func:`capsule.run`
        :param cwd: what relative paths of the host are relative to; default: the current folder
        :param on_output: called with what code prints, while it runs, as for
            :func:`capsule.run`; all of it is in the answer too
        :param capsule_path: the capsule binary, as for :func:`capsule.run`
        """
        if type not in ("python", "javascript"):
            raise ValueError(f"a session of {type!r} cannot be had; 'python' and 'javascript' can")
        given: dict[str, Any] = {
            "compute": compute,
            "ram": ram,
            "timeout": timeout,
            "allowed_hosts": None if allowed_hosts is None else [*_texts(allowed_hosts)],
            "env_variables": None if env_variables is None else [*_texts(env_variables)],
        }
        self._name = secrets.token_hex(16)
        self._show: Callable[[Any], str] = repr if type == "python" else _result.as_json
        self._cwd = _run.place(cwd)
        self._on_output = on_output
        self._capsule_path = capsule_path
        self._wanted = ",".join(
            [
                field("session", self._name),
                field("language", type),
                field("cwd", self._cwd),
                field("options", {name: value for name, value in given.items() if value is not None}),
                field("mounts", _run.listed(mounts or [], "mounts")),
            ]
        )
        self._worker: Worker | None = None
        self._is_closed = False
        self._finalizer: weakref.finalize[[Worker, str], _Session] | None = None

    # A session lives in one worker: another one would answer as if nothing had been before.
    def _place(self) -> Worker:
        if self._is_closed:
            raise WorkerError("the session is closed")
        if self._worker is None:
            self._worker = _worker.shared(_binary.find(self._capsule_path))
            self._finalizer = weakref.finalize(self, _close, self._worker, self._name)
            self._finalizer.atexit = False
        elif self._worker.is_dead:
            raise SessionLost(
                "the session was lost with its worker",
                error_type="SessionLost",
                code="E3009",
                hint="all that it held, its files too, is lost; reset() begins anew",
            )
        return self._worker

    def _leave(self) -> None:
        """Goes to a new worker the next time, if this one is dead."""
        if self._worker is not None and self._worker.is_dead:
            self._worker = None
            if self._finalizer is not None:
                self._finalizer.detach()

    def _evaluation(self, code: str) -> str:
        return f'"op":"evaluate",{self._wanted},{field("code", code)}'

    def _work(self, op: str, **fields: str) -> str:
        given = "".join("," + field(name, value) for name, value in fields.items())
        return f'"op":"{op}",{self._wanted}{given}'

    def _closed(self) -> None:
        self._is_closed = True
        if self._finalizer is not None:
            self._finalizer()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name[:8]}{' closed' if self._is_closed else ''}>"


class Session(_Session):
    """A session for coroutines.

    ::

        async with Session() as session:
            await session.run("x = 1")
            print(await session.run("x + 1"))  # 2

    It sees no file of the host but its own folder, ``workspace``. What it holds in memory
    is lost when code runs out of time or fuel or crashes, or when waiting for it is
    cancelled; the next use says so (:class:`~capsule.SessionLost`), until :meth:`reset`.
    """

    async def run(self, code: str) -> Evaluation:
        """Runs code: what it printed, and the value of its last expression.

        :raises TaskError: it raised an exception (the session lives on), or was ended
        """
        printed = Printed(self._on_output)
        frame = await self._ask(self._evaluation(code), printed)
        return _result.evaluation(frame, *printed.parts(), self._show)

    async def import_file(self, src_path: Path, dest_path: str) -> str:
        """Copies a file or folder of the host into the workspace; where it is there.

        :param src_path: on the host
        :param dest_path: in the workspace: ``"notes.txt"`` is ``workspace/notes.txt`` for code
        """
        work = self._work("import", **{"from": os.fspath(src_path), "to": dest_path})
        _result.done(await self._ask(work))
        return _inside(dest_path)

    async def export_file(self, src_path: str, dest_path: Path) -> str:
        """Copies a file of the workspace to the host; where it is there.

        :param src_path: in the workspace; a link that code has put there is not followed
        :param dest_path: on the host; folders that are missing are made
        """
        work = self._work("export", **{"from": src_path, "to": os.fspath(dest_path)})
        _result.done(await self._ask(work))
        return os.path.join(self._cwd, os.fspath(dest_path))

    async def delete_file(self, path: str) -> None:
        """Removes a file or folder of the workspace."""
        _result.done(await self._ask(self._work("delete", path=path)))

    async def reset(self) -> None:
        """Forgets all names, in a new sandbox. The files of the workspace stay."""
        self._leave()
        _result.done(await self._ask(self._work("reset")))

    async def close(self) -> None:
        """Ends it, and removes its files."""
        self._closed()

    async def _ask(self, request: str, on_output: OutputHandler | None = None) -> Frame:
        return await self._place().ask(request, on_output)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class SyncSession(_Session):
    """A session for code without an event loop; else the same as :class:`Session`.

    ::

        with SyncSession() as session:
            session.run("x = 1")
            print(session.run("x + 1"))  # 2
    """

    def run(self, code: str) -> Evaluation:
        """Runs code: what it printed, and the value of its last expression.

        :raises TaskError: it raised an exception (the session lives on), or was ended
        """
        printed = Printed(self._on_output)
        frame = self._ask(self._evaluation(code), printed)
        return _result.evaluation(frame, *printed.parts(), self._show)

    def import_file(self, src_path: Path, dest_path: str) -> str:
        """Copies a file or folder of the host into the workspace; where it is there.

        :param src_path: on the host
        :param dest_path: in the workspace: ``"notes.txt"`` is ``workspace/notes.txt`` for code
        """
        work = self._work("import", **{"from": os.fspath(src_path), "to": dest_path})
        _result.done(self._ask(work))
        return _inside(dest_path)

    def export_file(self, src_path: str, dest_path: Path) -> str:
        """Copies a file of the workspace to the host; where it is there.

        :param src_path: in the workspace; a link that code has put there is not followed
        :param dest_path: on the host; folders that are missing are made
        """
        work = self._work("export", **{"from": src_path, "to": os.fspath(dest_path)})
        _result.done(self._ask(work))
        return os.path.join(self._cwd, os.fspath(dest_path))

    def delete_file(self, path: str) -> None:
        """Removes a file or folder of the workspace."""
        _result.done(self._ask(self._work("delete", path=path)))

    def reset(self) -> None:
        """Forgets all names, in a new sandbox. The files of the workspace stay."""
        self._leave()
        _result.done(self._ask(self._work("reset")))

    def close(self) -> None:
        """Ends it, and removes its files."""
        self._closed()

    def _ask(self, request: str, on_output: OutputHandler | None = None) -> Frame:
        return self._place().ask_and_wait(request, on_output, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Printed:
    """Keeps what is printed, and passes it on."""

    def __init__(self, on_output: OutputHandler | None) -> None:
        self._on_output = on_output
        self._stdout = bytearray()
        self._stderr = bytearray()

    def __call__(self, channel: Channel, data: bytes) -> None:
        kept = self._stderr if channel == "stderr" else self._stdout
        kept += data
        if self._on_output is not None:
            self._on_output(channel, data)

    def parts(self) -> tuple[bytes, bytes]:
        """Standard output and standard error."""
        return bytes(self._stdout), bytes(self._stderr)


def _close(worker: Worker, name: str) -> None:
    worker.tell(f'"op":"close",{field("session", name)}')


def _inside(path: str) -> str:
    return "/workspace/" + path.removeprefix("/workspace/")


def _texts(values: Iterable[str]) -> Iterable[str]:
    if isinstance(values, str):
        raise TypeError(f"this is a list: write [{values!r}]")
    return values
