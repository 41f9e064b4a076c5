"""Sandboxes that live on, behind ``capsule serve``.

    from capsule_sdk import CapsuleClient

    client = CapsuleClient("http://localhost:8080")
    with client.create("python") as sandbox:
        print(sandbox.run("print(sum(range(10)))").stdout)

``AsyncCapsuleClient`` is the same for ``asyncio``. No call can hang: each has a deadline.
"""

from ._async.client import AsyncCapsuleClient
from ._async.events import AsyncChanges, AsyncOutput, AsyncStates
from ._async.files import AsyncDownload
from ._async.process import AsyncProcess
from ._async.sandbox import AsyncSandbox
from ._async.terminal import AsyncTerminal
from ._sync.client import CapsuleClient
from ._sync.events import Changes, Output, States
from ._sync.files import Download
from ._sync.process import Process
from ._sync.sandbox import Sandbox
from ._sync.terminal import Terminal
from ._types import (
    BatchResult,
    Command,
    Created,
    ExecResult,
    Exit,
    FileEvent,
    FileInfo,
    FileStat,
    Limits,
    LogEntry,
    NetworkPolicy,
    OutputEvent,
    Pool,
    ProcessInfo,
    SandboxInfo,
    SandboxPage,
    Snapshot,
    SnapshotPage,
    Stats,
    Template,
    TerminalSize,
    Volume,
    VolumeMount,
    Webhook,
)
from .errors import (
    CapsuleError,
    CommandFailed,
    ConnectionFailed,
    CreateFailed,
    DeadlineExceeded,
    DeleteFailed,
    ExecFailed,
    ExecTimeout,
    FileFailed,
    ForeignOrigin,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LimitReached,
    ListDirFailed,
    MethodNotFound,
    NotAuthorized,
    NotFound,
    ProtocolError,
    ReadFileFailed,
    RequestRefused,
    SandboxError,
    ShuttingDown,
    WriteFileFailed,
    WrongState,
)

#: What the documented client calls a sandbox.
Capsule = Sandbox

__all__ = [
    # Clients.
    "CapsuleClient",
    "AsyncCapsuleClient",
    # What they hand out.
    "Sandbox",
    "AsyncSandbox",
    "Capsule",
    "Process",
    "AsyncProcess",
    "Terminal",
    "AsyncTerminal",
    "Output",
    "AsyncOutput",
    "States",
    "AsyncStates",
    "Changes",
    "AsyncChanges",
    "Download",
    "AsyncDownload",
    # What is sent.
    "Command",
    "Limits",
    "NetworkPolicy",
    "TerminalSize",
    "VolumeMount",
    "Webhook",
    # What is answered.
    "BatchResult",
    "Created",
    "ExecResult",
    "Exit",
    "FileEvent",
    "FileInfo",
    "FileStat",
    "LogEntry",
    "OutputEvent",
    "Pool",
    "ProcessInfo",
    "SandboxInfo",
    "SandboxPage",
    "Snapshot",
    "SnapshotPage",
    "Stats",
    "Template",
    "Volume",
    # What can go wrong.
    "CapsuleError",
    "SandboxError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "ProtocolError",
    "CommandFailed",
    "RequestRefused",
    "InvalidRequest",
    "MethodNotFound",
    "InvalidParams",
    "NotFound",
    "CreateFailed",
    "ExecFailed",
    "ExecTimeout",
    "DeleteFailed",
    "FileFailed",
    "WriteFileFailed",
    "ReadFileFailed",
    "ListDirFailed",
    "WrongState",
    "LimitReached",
    "NotAuthorized",
    "ForeignOrigin",
    "ShuttingDown",
    "InternalError",
]
