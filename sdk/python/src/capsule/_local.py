"""Outside a sandbox a task is its function, so that programs can be unit-tested.

A test that calls a task calls its function. A task that calls another task sees what it
would see in a sandbox: a failure is a :class:`~capsule.TaskError`, and the call of an
``async def`` task has begun before it is awaited. Nothing is isolated, limited or retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
import traceback
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any

from .errors import CapsuleError, TaskError

__all__ = ["LocalRuntime"]

Function = Callable[..., Any]

#: Whether a task is running, which then calls.
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("capsule_inside", default=False)


@contextlib.contextmanager
def _as_task(name: str) -> Iterator[None]:
    """What is called in here is called as a task."""
    is_nested = _inside.get()
    token = _inside.set(True)
    try:
        yield
    except Exception as error:
        if not is_nested or isinstance(error, CapsuleError):
            raise
        kind = type(error).__qualname__
        raise TaskError(
            f"task {name!r} failed: {kind}: {error}",
            task=name,
            error_type=kind,
            code="E3008",
            traceback="".join(traceback.format_exception(error)),
        ) from error
    finally:
        _inside.reset(token)


def _call(name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _as_task(name):
        return function(*args, **kwargs)


async def _call_async(name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _as_task(name):
        return await function(*args, **kwargs)


def _run_to_end(work: Awaitable[Any]) -> Any:
    """Waits for a coroutine where waiting is not possible: in a thread with a loop of its own."""
    outcome: list[Any] = []

    async def awaited() -> Any:
        return await work

    def run() -> None:
        try:
            outcome.extend((asyncio.run(awaited()), None))
        except BaseException as error:
            outcome.extend((None, error))

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,))
    thread.start()
    thread.join()
    value, error = outcome
    if error is not None:
        raise error
    return value


class _Done:
    """A call that has already happened."""

    def __init__(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._value: Any = None
        self._error: Exception | None = None
        try:
            if inspect.iscoroutinefunction(function):
                self._value = _run_to_end(_call_async(name, function, args, kwargs))
            else:
                self._value = _call(name, function, args, kwargs)
        except Exception as error:
            self._error = error

    def result(self, timeout: float | None = None) -> Any:
        """Its value, or its failure."""
        if self._error is not None:
            raise self._error
        return self._value

    def done(self) -> bool:
        """It has ended."""
        return True

    def cancel(self) -> bool:
        """It has ended."""
        return False

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.result()
        yield


class LocalRuntime:
    """Calls the function in this process."""

    def call(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls it."""
        return _call(name, function, args, kwargs)

    def submit(self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Done:
        """Calls it at once, to its end."""
        return _Done(name, function, args, kwargs)

    def submit_async(
        self, name: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Awaitable[Any]:
        """Begins it, if there is a loop that it can run on; else when it is awaited."""
        work = _call_async(name, function, args, kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return work
        return _awaited(asyncio.ensure_future(work))

    def declared(self, task: Any) -> None:
        """Nobody asks what a program declares."""

    def named(self, task: Any) -> None:
        """Nobody asks what it calls of others."""


async def _awaited(task: asyncio.Future[Any]) -> Any:
    return await task
