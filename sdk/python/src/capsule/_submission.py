"""A task that was started and may not have ended."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Submission"]

T = TypeVar("T", covariant=True)


class Submission(Protocol, Generic[T]):
    """The answer of ``task.submit(…)``: take its ``result()``, or await it."""

    def result(self, timeout: float | None = None) -> T:
        """Waits for the value; raises :class:`~capsule.TaskError` if the task failed
        and :class:`TimeoutError` after ``timeout`` seconds (the task goes on)."""

    def done(self) -> bool:
        """Whether the task has ended."""

    def cancel(self) -> bool:
        """Ends the task; False if it had ended already."""

    def __await__(self) -> Generator[Any, Any, T]: ...
