"""What goes over the wire, as types. Held to ``schema/openrpc.json`` by a test: a field that
the schema has is here, under the same name."""

from __future__ import annotations

import base64
import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar

from .errors import CommandFailed, ProtocolError

__all__ = [
    "Limits",
    "NetworkPolicy",
    "TerminalSize",
    "VolumeMount",
    "Webhook",
    "Command",
    "Created",
    "SandboxInfo",
    "SandboxPage",
    "ExecResult",
    "BatchResult",
    "Exit",
    "ProcessInfo",
    "FileInfo",
    "FileStat",
    "LogEntry",
    "Stats",
    "Pool",
    "Template",
    "Snapshot",
    "SnapshotPage",
    "Volume",
    "OutputEvent",
    "FileEvent",
    "read",
]

T = TypeVar("T")


# --- what is sent ---


class Limits(TypedDict, total=False):
    """Limits of all processes of a sandbox together."""

    memory_bytes: int
    disk_bytes: int
    max_pids: int
    cpu_shares: int


class AllowedHosts(TypedDict):
    """The hosts that a sandbox may reach: ``"host"``, ``"host:port"``, ``"*.host"``."""

    allow: list[str]


NetworkPolicy = Literal["denied", "open"] | AllowedHosts


class TerminalSize(TypedDict):
    """The size of a terminal."""

    columns: int
    rows: int


class VolumeMount(TypedDict, total=False):
    """A volume in a sandbox."""

    volume: typing.Required[str]
    path: typing.Required[str]
    mode: Literal["ro", "rw"]


class Webhook(TypedDict, total=False):
    """Where it is told that a process has ended."""

    url: typing.Required[str]
    secret: str


class Command(TypedDict, total=False):
    """One of several commands; the fields are those of ``exec``."""

    cmd: typing.Required[list[str]]
    cwd: str
    env: dict[str, str]
    timeout_ms: int
    max_stdout_bytes: int
    max_stderr_bytes: int
    stdin: str
    stdin_base64: str
    base64: bool
    context: str


# --- what comes back ---


@dataclass(frozen=True, kw_only=True)
class Created:
    """A sandbox that was made."""

    id: str
    template: str
    created_at: datetime
    expires_at: datetime
    #: Walls that stand less than fully.
    weaker: list[Any] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SandboxInfo(Created):
    """Everything about a sandbox."""

    #: ``creating``, ``ready``, ``paused``, ``expiring`` or ``ending``.
    state: str
    idle_ms: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    #: Processes that run.
    processes: int = 0
    #: ``"denied"``, ``"open"`` or ``{"allow": […]}``.
    network: Any = "denied"
    #: What happens when its time is over: ``delete``, or ``pause``, which keeps its files.
    on_expiry: str = "delete"
    #: The volumes that it has.
    volumes: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class SandboxPage:
    """A page of sandboxes, ordered by id."""

    sandboxes: list[SandboxInfo]
    #: Whether there are more after the last one.
    more: bool


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a process ended."""

    #: 128 and the signal if one ended it; 124 after the timeout.
    exit_code: int
    timed_out: bool = False
    out_of_memory: bool = False
    signal: int | None = None
    duration_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class ExecResult(Exit):
    """How a command ended, and what it wrote."""

    #: As text; what is not UTF-8 is shown as U+FFFD.
    stdout: str
    stderr: str
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    stdout_base64: str | None = None
    stderr_base64: str | None = None

    @property
    def stdout_bytes(self) -> bytes:
        """Standard output as it was; needs ``base64=True`` if it is not text."""
        return self.stdout.encode() if self.stdout_base64 is None else base64.b64decode(self.stdout_base64)

    @property
    def stderr_bytes(self) -> bytes:
        """Standard error, likewise."""
        return self.stderr.encode() if self.stderr_base64 is None else base64.b64decode(self.stderr_base64)

    def check(self) -> ExecResult:
        """Itself, if the exit code is 0.

        Raises:
            CommandFailed: it is another one, or the timeout ended the command.
        """
        if self.exit_code != 0 or self.timed_out:
            raise CommandFailed(self)
        return self


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """How several commands ended."""

    #: Of those that ran, in order.
    results: list[ExecResult]
    #: Whether all ran.
    complete: bool
    #: Why the last one could not even start.
    error: Any = None


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """A process."""

    process: int
    #: Empty if an earlier server did not tell.
    cmd: list[str]
    started_at: datetime
    terminal: bool
    #: None: it still runs.
    exit: Exit | None = None


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """An entry of a directory."""

    name: str
    path: str
    is_dir: bool
    size: int


@dataclass(frozen=True, kw_only=True)
class FileStat(FileInfo):
    """What a path is."""

    #: ``file``, ``directory``, ``link`` or ``other``.
    kind: str
    mode: int
    modified_at: datetime
    #: Where a link points.
    target: str | None = None


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """An execution of the past."""

    number: int
    id: str
    request: str
    #: ``exec``, ``code``, ``batch``, ``install``, ``stream``, ``start`` or ``terminal``.
    kind: str
    #: Its number in the sandbox.
    process: int
    started_at: datetime
    cmd: list[str]
    cwd: str
    #: None if it was lost.
    exit_code: int | None
    signal: int | None = None
    timed_out: bool
    out_of_memory: bool
    #: Whether the server was killed while it ran.
    lost: bool
    duration_ms: int
    #: The beginning of it.
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What a sandbox uses; None where the host does not count it."""

    cpu_time_ms: int | None = None
    memory_bytes: int | None = None
    max_memory_bytes: int | None = None
    processes: int | None = None
    disk_bytes: int | None = None
    io_bytes_read: int | None = None
    io_bytes_written: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Sandboxes of a template that wait to be used."""

    size: int
    ready: int


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template."""

    name: str
    limits: dict[str, Any]
    language: str | None = None
    description: str | None = None
    backend: str | None = None
    root: str | None = None
    network: Any = None
    pool: Pool | None = None
    on_expiry: str | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The files of a sandbox, as they were."""

    id: str
    sandbox: str
    template: str
    created_at: datetime
    name: str | None = None
    bytes: int = 0
    files: int = 0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SnapshotPage:
    """A page of snapshots."""

    snapshots: list[Snapshot]
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Files that outlive sandboxes."""

    name: str
    size_bytes: int
    used_bytes: int = 0
    created_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OutputEvent:
    """Something that a process did.

    ``started`` comes first, with its number in ``process``; ``stdout`` and ``stderr`` carry
    ``data``, and the same in ``text``; a ``gap`` says how many ``bytes`` are not kept any
    more; ``exit`` is the last. ``next`` is the offset at which a later reader goes on.
    """

    kind: Literal["started", "stdout", "stderr", "gap", "exit"]
    process: int | None = None
    data: bytes = b""
    #: A character whose bytes are not complete yet comes with the next event.
    text: str = ""
    next: int | None = None
    bytes: int = 0
    exit: Exit | None = None


@dataclass(frozen=True, kw_only=True)
class FileEvent:
    """Something that happened to a file. ``gap``: some events were lost."""

    kind: Literal["created", "modified", "removed", "moved", "gap"]
    path: str = ""
    #: Where it was moved to.
    to: str | None = None
    is_dir: bool = False


# --- from JSON ---


def read(kind: type[T], value: object) -> T:
    """A value of the wire as one of the types above. Fields that it does not have are left out."""
    if not isinstance(value, dict):
        raise ProtocolError(f"the server answered without {kind.__name__}")
    given: dict[str, Any] = {}
    for name, (hint, is_needed) in _fields(typing.cast("Hashable", kind)).items():
        if name in value:
            given[name] = _convert(hint, value[name], f"{kind.__name__}.{name}")
        elif is_needed:
            raise ProtocolError(f"the server's answer lacks {kind.__name__}.{name}")
    return kind(**given)


@functools.cache
def _fields(kind: Any) -> Mapping[str, tuple[Any, bool]]:
    # By module, because a field may be named as a type is.
    hints = typing.get_type_hints(kind, localns={"bytes": bytes})
    missing = dataclasses.MISSING
    return {
        one.name: (hints[one.name], one.default is missing and one.default_factory is missing)
        for one in dataclasses.fields(kind)
    }


def _convert(hint: Any, value: Any, where: str) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if hint is Any:
        return value
    if typing.get_origin(hint) is Literal:
        # A newer server may know more words.
        hint = str
    if hint is datetime:
        try:
            return datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ProtocolError(f"the server's {where} is no date") from None
    if dataclasses.is_dataclass(hint):
        return read(typing.cast("type[Any]", hint), value)
    origin, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    # True is a number to Python.
    if not isinstance(value, origin) or (origin is int and isinstance(value, bool)):
        raise ProtocolError(f"the server's {where} is no {origin.__name__}")
    if origin is list and parts:
        return [_convert(parts[0], one, where) for one in value]
    return value
