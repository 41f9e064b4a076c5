"""What can go wrong, as exceptions."""

from __future__ import annotations

__all__ = ["CapsuleError", "TaskError", "DeniedError"]


class CapsuleError(Exception):
    """Base of every error that Capsule itself raises."""


class TaskError(CapsuleError):
    """A task failed.

    ``error_type`` is the name of the exception that ended it (``"ValueError"``), or
    Capsule's own word for it (``"Timeout"``, ``"FuelExhausted"``, …); ``code`` is a
    stable code of ``docs/errors/``; ``traceback`` is the text of the task's own
    traceback, if it had one.
    """

    def __init__(
        self,
        message: str,
        *,
        task: str = "",
        error_type: str = "",
        code: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.task = task
        self.error_type = error_type
        self.code = code
        self.traceback = traceback


class DeniedError(CapsuleError, PermissionError):
    """The policy denies what was tried. The message names the option to set."""
