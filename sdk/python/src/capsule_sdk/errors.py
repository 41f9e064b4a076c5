"""What can go wrong, as exceptions.

::

    CapsuleError                    the base of both packages, ``capsule`` and ``capsule_sdk``
    └── SandboxError
        ├── ConnectionFailed        the server cannot be reached (also a ConnectionError)
        ├── DeadlineExceeded        a call took too long (also a TimeoutError)
        ├── ProtocolError           what answers does not speak as a Capsule server does
        ├── CommandFailed           ``ExecResult.check()``: the command failed
        └── RequestRefused          the server answered with an error
            ├── InvalidRequest      PARSE_ERROR, INVALID_REQUEST
            ├── MethodNotFound
            ├── InvalidParams
            ├── NotFound
            ├── CreateFailed        CONTAINER_CREATE_FAILED
            ├── ExecFailed
            │   └── ExecTimeout
            ├── DeleteFailed
            ├── FileFailed
            │   ├── WriteFileFailed
            │   ├── ReadFileFailed
            │   └── ListDirFailed
            ├── WrongState
            ├── LimitReached
            ├── NotAuthorized
            ├── ForeignOrigin
            ├── ShuttingDown
            └── InternalError
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from capsule.errors import CapsuleError

if TYPE_CHECKING:
    from ._types import ExecResult

__all__ = [
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


class SandboxError(CapsuleError):
    """Base of what this package raises.

    ``code`` is a stable code of ``docs/errors/`` if the server told one; ``hint`` says
    what to do; ``retryable`` says whether the same call can succeed later; ``request_id``
    is the name under which the call stands in the server's log.
    """

    hint: str = ""
    request_id: str = ""


class ConnectionFailed(SandboxError, ConnectionError):
    """The server cannot be reached, or the connection broke off.

    ``nothing_sent`` is true if the server cannot have heard of the call.
    """

    def __init__(self, message: str, *, nothing_sent: bool = False) -> None:
        super().__init__(message)
        self.nothing_sent = nothing_sent
        self.retryable = nothing_sent


class DeadlineExceeded(SandboxError, TimeoutError):
    """A call took longer than its deadline, or a stream said nothing for too long.

    Whether the server did what was asked is not known.
    """


class ProtocolError(SandboxError):
    """What answers does not speak as a Capsule server does."""


class CommandFailed(SandboxError):
    """A command ended with another exit code than 0, or at its timeout: see ``result``."""

    def __init__(self, result: ExecResult) -> None:
        how = "did not end in time" if result.timed_out else f"ended with exit code {result.exit_code}"
        last = result.stderr.strip().rpartition("\n")[2]
        super().__init__(f"the command {how}" + (f": {last}" if last else ""))
        self.result = result


class RequestRefused(SandboxError):
    """The server answered with an error.

    ``rpc_code`` and ``type`` are those of JSON-RPC (-32002, ``"NOT_FOUND"``); ``details``
    are what else it said.
    """

    def __init__(
        self, message: str, *, rpc_code: int, type: str, retryable: bool, details: Mapping[str, str]
    ) -> None:
        super().__init__(message)
        self.message = message
        self.rpc_code = rpc_code
        self.type = type
        self.retryable = retryable
        self.details = dict(details)
        self.code = self.details.get("error_code", "")
        self.hint = self.details.get("hint", "")

    def __str__(self) -> str:
        code = f" [{self.code}]" if self.code else ""
        return f"{self.message}{code}" + (f"\nhint: {self.hint}" if self.hint else "")

    @staticmethod
    def of(error: object) -> RequestRefused | ProtocolError:
        """The exception for an error object of the wire."""
        if not isinstance(error, dict) or not isinstance(error.get("code"), int):
            return ProtocolError("the server answered with an error that is none")
        data: Any = error.get("data")
        data = data if isinstance(data, dict) else {}
        details: Any = data.get("details")
        details = details if isinstance(details, dict) else {}
        kind = _KINDS.get(error["code"], RequestRefused)
        return kind(
            str(error.get("message", "")),
            rpc_code=error["code"],
            type=str(data.get("type", "")),
            retryable=data.get("retryable") is True,
            details={str(name): str(value) for name, value in details.items()},
        )


class InvalidRequest(RequestRefused):
    """The server cannot read the request."""


class MethodNotFound(RequestRefused):
    """The server has no such method; it may be older than this package."""


class InvalidParams(RequestRefused, ValueError):
    """A parameter is missing, unknown or out of range."""


class NotFound(RequestRefused, LookupError):
    """There is no such sandbox, process or context."""


class CreateFailed(RequestRefused):
    """The sandbox could not be made."""


class ExecFailed(RequestRefused):
    """The process could not be started or reached."""


class ExecTimeout(ExecFailed, TimeoutError):
    """The process did not start, or did not read its input, in time."""


class DeleteFailed(RequestRefused):
    """Something of the sandbox could not be removed; the server goes on trying."""


class FileFailed(RequestRefused, OSError):
    """A file or directory could not be changed or told about."""


class WriteFileFailed(FileFailed):
    """The file could not be written."""


class ReadFileFailed(FileFailed):
    """The file could not be read."""


class ListDirFailed(FileFailed):
    """The directory could not be listed."""


class WrongState(RequestRefused):
    """The sandbox is in a state in which this cannot be done."""


class LimitReached(RequestRefused):
    """A limit of the server was reached."""


class NotAuthorized(RequestRefused, PermissionError):
    """The request carries no API key that the server knows."""


class ForeignOrigin(RequestRefused, PermissionError):
    """The server takes the request for one of a web page, or has another name."""


class ShuttingDown(RequestRefused):
    """The server is about to stop."""


class InternalError(RequestRefused):
    """The server failed."""


_KINDS: dict[int, type[RequestRefused]] = {
    -32700: InvalidRequest,
    -32600: InvalidRequest,
    -32601: MethodNotFound,
    -32603: InternalError,
    -32001: InvalidParams,
    -32002: NotFound,
    -32003: CreateFailed,
    -32004: ExecTimeout,
    -32005: ExecFailed,
    -32007: DeleteFailed,
    -32008: WriteFileFailed,
    -32009: ReadFileFailed,
    -32010: ListDirFailed,
    -32011: FileFailed,
    -32012: WrongState,
    -32013: LimitReached,
    -32014: NotAuthorized,
    -32015: ForeignOrigin,
    -32016: ShuttingDown,
}
