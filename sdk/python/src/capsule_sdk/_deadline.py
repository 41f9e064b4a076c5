"""Points in time until which something has to be done."""

from __future__ import annotations

import time

from .errors import DeadlineExceeded

__all__ = ["Deadline"]


class Deadline:
    """So many milliseconds from now."""

    def __init__(self, milliseconds: float, what: str) -> None:
        if not milliseconds > 0:
            raise ValueError(f"a deadline is a number of milliseconds above 0, not {milliseconds!r}")
        self._milliseconds = milliseconds
        self._what = what
        self._until = time.monotonic() + milliseconds / 1000

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._until

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            DeadlineExceeded: there are none.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise self.exceeded()
        return left

    def exceeded(self) -> DeadlineExceeded:
        """The error to raise when it is over."""
        error = DeadlineExceeded(f"{self._what}: nothing within {self._milliseconds:g} ms")
        error.hint = "give the call a longer deadline_ms, or look at the server"
        return error
