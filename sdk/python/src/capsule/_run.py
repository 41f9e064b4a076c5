"""Running programs from outside: ``run`` and ``run_sync``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from . import _binary, _result, _worker
from ._protocol import Channel
from ._result import Result
from ._worker import OutputHandler, field

__all__ = ["OutputHandler", "print_output", "run", "run_sync"]

Path = str | os.PathLike[str]
#: Languages of programs.
Language = Literal["python", "typescript", "javascript"]


def print_output(channel: Channel, data: bytes) -> None:
    """Prints what a task prints, to this process's standard error.

    Never to its standard output, which may be somebody's protocol.
    """
    stream = sys.stderr
    if stream is not None:
        stream.write(data.decode("utf-8", "backslashreplace"))
        stream.flush()


async def run(
    file: Path | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    task: str = "main",
    mounts: Sequence[str] | None = None,
    cwd: Path | None = None,
    source: str | None = None,
    name: str | None = None,
    language: Language | None = None,
    timeout: float | None = None,
    on_output: OutputHandler | None = print_output,
    capsule_path: Path | None = None,
) -> Result:
    """Runs a task of a program, each task in a sandbox of its own.

    What happens in the sandbox is told by the result: ``result["success"]``,
    ``result["result"]``, ``result["error"]``, ``result["execution"]``. Raised is only what
    keeps Capsule from running it: :class:`~capsule.BinaryNotFound`,
    :class:`~capsule.WorkerError`, and TypeError for arguments that JSON cannot hold.

    Cancelling it ends the task, and all the tasks that it called, at once.

    :param file: the program, ``"main.py"``; default: the entrypoint of ``capsule.toml``
    :param args: positional arguments of the task
    :param kwargs: keyword arguments of the task
    :param task: the task to call
    :param mounts: files and folders that every task of the run sees:
        ``"HOST"``, ``"HOST::GUEST"``, each with ``:ro`` or ``:rw`` (default) behind it
    :param cwd: what relative paths are relative to; default: the current folder
    :param source: the program's text, instead of ``file``; in TypeScript it imports packages
        that are installed for ``cwd``, and no file of it
    :param name: what ``source`` is called in tracebacks: ``"main.ts"``
    :param language: what ``source`` is written in; default: as ``name`` ends, else Python
    :param timeout: seconds after which it is ended and TimeoutError raised; default: only
        the task's own timeout counts
    :param on_output: called with ``"stdout"`` or ``"stderr"`` and the bytes, as tasks print
        them; default: they go to this process's standard error; None drops them
    :param capsule_path: the capsule binary; default: ``CAPSULE_BIN``, the one that this
        package carries, or the one on ``PATH``
    """
    worker = _worker.shared(_binary.find(capsule_path))
    request = _request(file, args, kwargs, task, mounts, cwd, source, name, language)
    if timeout is None:
        return _result.envelope(await worker.ask(request, on_output))
    async with asyncio.timeout(timeout):
        return _result.envelope(await worker.ask(request, on_output))


def run_sync(
    file: Path | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    task: str = "main",
    mounts: Sequence[str] | None = None,
    cwd: Path | None = None,
    source: str | None = None,
    name: str | None = None,
    language: Language | None = None,
    timeout: float | None = None,
    on_output: OutputHandler | None = print_output,
    capsule_path: Path | None = None,
) -> Result:
    """As :func:`run`, for code without an event loop: it blocks until the result is there.

    Any number of threads may call it at one time. KeyboardInterrupt ends the task.
    """
    worker = _worker.shared(_binary.find(capsule_path))
    request = _request(file, args, kwargs, task, mounts, cwd, source, name, language)
    return _result.envelope(worker.ask_and_wait(request, on_output, timeout))


def _request(
    file: Path | None,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    task: str,
    mounts: Sequence[str] | None,
    cwd: Path | None,
    source: str | None,
    name: str | None,
    language: Language | None,
) -> str:
    if file is not None and source is not None:
        raise TypeError("run() takes a file or a source, not both")
    fields = ['"op":"run"', field("cwd", place(cwd))]
    if file is not None:
        fields.append(field("file", os.fspath(file)))
    if source is not None:
        fields.append(field("source", source))
        if name is not None:
            fields.append(field("name", name))
        if language is not None:
            fields.append(field("language", language))
    if args:
        fields.append(field("args", listed(args, "args")))
    if kwargs:
        fields.append(field("kwargs", dict(kwargs)))
    if task != "main":
        fields.append(field("task", task))
    if mounts:
        fields.append(field("mounts", listed(mounts, "mounts")))
    return ",".join(fields)


def place(cwd: Path | None) -> str:
    """The folder that relative paths are relative to, as a whole path."""
    return os.getcwd() if cwd is None else os.path.abspath(cwd)


def listed(values: Sequence[Any], name: str) -> list[Any]:
    """A list; text is a sequence too, and never what is meant."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} is a list: write {name}=[{values!r}]")
    return list(values)
