"""What can go wrong, as exceptions.

::

    CapsuleError
    ├── TaskError           a task, or code in a session, failed
    │   └── SessionLost     a session lost what it held in memory
    ├── DeniedError         the policy denies what was tried (also a PermissionError)
    └── WorkerError         Capsule itself could not do its work
        └── BinaryNotFound  there is no capsule binary (also a FileNotFoundError)
"""

from __future__ import annotations

__all__ = ["BinaryNotFound", "CapsuleError", "DeniedError", "SessionLost", "TaskError", "WorkerError"]


class CapsuleError(Exception):
    """Base of every error that Capsule itself raises.

    ``code`` is a stable code of ``docs/errors/``, or empty; ``retryable`` says whether
    the same request can succeed later.
    """

    code: str = ""
    retryable: bool = False


class TaskError(CapsuleError):
    """A task failed.

    ``error_type`` is the name of the exception that ended it (``"ValueError"``), or
    Capsule's own word for it (``"Timeout"``, ``"FuelExhausted"``, …); ``code`` is a
    stable code of ``docs/errors/``; ``hint`` says what to do about it; ``traceback`` is
    the text of the task's own traceback. Each may be empty.
    """

    def __init__(
        self,
        message: str,
        *,
        task: str = "",
        error_type: str = "",
        code: str = "",
        hint: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.task = task
        self.error_type = error_type
        self.code = code
        self.hint = hint
        self.traceback = traceback
        # An exception or a crash may not come again; a limit will.
        self.retryable = code in ("E3008", "E3009")

    @classmethod
    def told(cls, task: str, kind: str, message: str, detail: str) -> CapsuleError:
        """The error of a call, as a sandbox hears it: ``detail`` is a code, and then a traceback."""
        code, _, traceback = detail.partition("\n")
        error: CapsuleError
        if kind == "Denied":
            error = DeniedError(message)
            error.code = code
            return error
        text = f"task {task!r} failed: {kind}: {message}"
        return cls(text, task=task, error_type=kind, code=code, traceback=traceback)


class SessionLost(TaskError):
    """A session lost what it held in memory; ``reset()`` begins anew."""


class DeniedError(CapsuleError, PermissionError):
    """The policy denies what was tried. The message names the option to set."""


class WorkerError(CapsuleError):
    """Capsule itself could not do its work: the worker ended, or did not understand."""

    def __init__(self, message: str, *, code: str = "", hint: str = "", retryable: bool = False) -> None:
        super().__init__(f"{message}\nhint: {hint}" if hint else message)
        self.message = message
        self.code = code
        self.hint = hint
        self.retryable = retryable

    def again(self) -> WorkerError:
        """The same error, to be raised once more: each has a traceback of its own."""
        return WorkerError(self.message, code=self.code, hint=self.hint, retryable=self.retryable)


class BinaryNotFound(WorkerError, FileNotFoundError):
    """There is no capsule binary where it was looked for."""
