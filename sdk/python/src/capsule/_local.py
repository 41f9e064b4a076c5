"""Outside a sandbox a task is its function, so that programs can be unit-tested.

Nothing is isolated, limited or retried here.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["LocalRuntime"]


class _Done:
    """A call that has already happened."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        try:
            self._value = function(*args, **kwargs)
        except Exception as error:
            self._error = error

    def result(self, timeout: float | None = None) -> Any:
        if self._error is not None:
            raise self._error
        if inspect.iscoroutine(self._value):
            self._value = asyncio.run(self._value)
        return self._value

    def done(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._error is not None:
            raise self._error
        if inspect.iscoroutine(self._value):
            self._value = yield from self._value.__await__()
        return self._value


class LocalRuntime:
    """Calls the function in this process."""

    def call(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return function(*args, **kwargs)

    def submit(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Done:
        return _Done(function, args, kwargs)

    def declared(self, task: Any) -> None:
        pass
