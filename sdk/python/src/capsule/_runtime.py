"""Where calls of tasks go: to the host inside a sandbox, to the function itself outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ._submission import Submission

__all__ = ["Runtime", "current", "install", "on_declared", "on_named"]


class Runtime(Protocol):
    """What a place that can run tasks offers."""

    def call(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Runs a task and waits for its value."""

    def submit(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Submission[Any]:
        """Starts a task."""

    def submit_async(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Awaitable[Any]:
        """Starts an ``async def`` task, whose call is then awaited."""

    def declared(self, task: Any) -> None:
        """Hears of every task that a program declares."""

    def named(self, task: Any) -> None:
        """Hears of every task of another program that a program names."""


_current: Runtime | None = None


def current() -> Runtime:
    """The runtime of this process."""
    global _current
    if _current is None:
        from ._local import LocalRuntime

        _current = LocalRuntime()
    return _current


def install(runtime: Runtime) -> None:
    """Makes ``runtime`` the one of this process."""
    global _current
    _current = runtime


def on_declared(task: Any) -> None:
    """Tells the runtime of a task."""
    current().declared(task)


def on_named(task: Any) -> None:
    """Tells the runtime of a task of another program."""
    current().named(task)
