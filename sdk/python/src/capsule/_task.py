"""The ``@task`` decorator."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, overload

from . import _runtime
from ._submission import Submission
from ._values import is_whole
from .errors import CapsuleError

__all__ = ["AllowedFile", "ProgramTask", "Task", "task", "task_of"]

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")


class AllowedFile(TypedDict, total=False):
    """A file or folder, and how it may be used."""

    path: str
    mode: Literal["ro", "read-only", "rw", "read-write"]


class Task(Generic[P, R]):
    """A function that runs in a sandbox of its own when it is called.

    Its docstring, name and signature are the function's.
    """

    #: What it is called in a sandbox.
    function: Callable[P, R]
    #: What its decorator says, and nothing else.
    options: dict[str, Any]
    #: What other tasks and ``capsule run --task`` call it.
    name: str
    __name__: str
    #: The file and line of its decorator.
    place: tuple[str, int]

    def __init__(self, function: Callable[P, R], options: dict[str, Any], place: tuple[str, int]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = options["name"]
        self.place = place
        self.is_async = inspect.iscoroutinefunction(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        runtime = _runtime.current()
        # An awaitable of the value, if the function is a coroutine.
        call: Callable[..., Any] = runtime.submit_async if self.is_async else runtime.call
        value: R = call(self.name, self.function, args, kwargs)
        return value

    @overload
    def submit(self: Task[P, Coroutine[Any, Any, V]], *args: P.args, **kwargs: P.kwargs) -> Submission[V]: ...

    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Submission[R]: ...

    def submit(self, *args: Any, **kwargs: Any) -> Submission[Any]:
        """Starts the task and returns at once; several run in parallel."""
        return _runtime.current().submit(self.name, self.function, args, kwargs)

    def map(self, items: Iterable[Any]) -> list[Any]:
        """Runs the task once for each item, in parallel; the values in the order of the items.

        The first failure is raised after all have ended.
        """
        submissions = [self.submit(item) for item in items]  # type: ignore[call-arg]
        return gather(submissions)

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


class ProgramTask(Generic[P, R]):
    """A task of another program of the project, which may be in another language.

    It runs there as the task's own program declares it, and is called as any other task.
    """

    #: The program, by its name in ``capsule.toml``.
    program: str
    #: What other tasks and ``capsule run --task`` call it: ``"render:page"``.
    name: str
    #: The file and line that named it.
    place: tuple[str, int]

    def __init__(self, program: str, task: str, place: tuple[str, int]) -> None:
        self.program = program
        self.name = f"{program}:{task}"
        self.place = place

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs it and waits for its value; in coroutines, await ``submit()``."""
        value: R = _runtime.current().call(self.name, self._outside, args, kwargs)
        return value

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Submission[R]:
        """Starts it and returns at once; several run in parallel. Can be awaited."""
        return _runtime.current().submit(self.name, self._outside, args, kwargs)

    def map(self, items: Iterable[Any]) -> list[R]:
        """Runs it once for each item, in parallel; the values in the order of the items.

        The first failure is raised after all have ended.
        """
        submissions = [self.submit(item) for item in items]  # type: ignore[call-arg]
        return gather(submissions)

    def _outside(self, *args: Any, **kwargs: Any) -> Any:
        raise CapsuleError(
            f"task {self.name!r} is one of another program, which runs in sandboxes only: "
            "run the program that calls it with `capsule run FILE`, or capsule.run(FILE)"
        )

    def __repr__(self) -> str:
        return f"<task {self.name!r}>"


def task_of(program: str, task: str) -> ProgramTask[..., Any]:
    """A task of another program of the project: ``task_of("render", "page")``.

    :param program: the program's name, below ``[programs]`` in ``capsule.toml``
    :param task: what the task is called there

    Named at the top level of a program, a task that is not there is an error with file and
    line before anything runs; elsewhere, when it is called.
    """
    frame = sys._getframe(1)
    for word in (program, task):
        if not isinstance(word, str):
            raise TypeError(f"task_of() takes the names of a program and of a task, not {word!r}")
    plain = program.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and program[0].isalpha() and len(program) <= 64):
        raise ValueError(f"{program!r} is no name of a program: capsule.toml has them, below [programs]")
    if not task or not is_whole(task):
        raise ValueError(f"{task!r} is no name of a task")
    named: ProgramTask[..., Any] = ProgramTask(program, task, (frame.f_code.co_filename, frame.f_lineno))
    _runtime.on_named(named)
    return named


def gather(submissions: list[Submission[Any]]) -> list[Any]:
    """The values of all; the first failure, once all have ended."""
    values: list[Any] = []
    failure: Exception | None = None
    for submission in submissions:
        try:
            values.append(submission.result())
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return values


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    name: str | None = None,
    compute: str | int | None = None,
    ram: str | int | None = None,
    timeout: str | float | None = None,
    max_retries: int | None = None,
    allowed_files: Iterable[str | AllowedFile] | None = None,
    allowed_hosts: Iterable[str] | None = None,
    env_variables: Iterable[str] | None = None,
    isolation: Literal["wasm", "jail"] | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Makes a function a task: called from another task, it runs in its own sandbox.

    :param name: what the task is called; default: the function's name
    :param compute: ``"LOW"``, ``"MEDIUM"`` (default), ``"HIGH"``, or an exact number of fuel units
    :param ram: memory, ``"512MB"``, ``"64MiB"``; default ``"256MiB"``
    :param timeout: ``"30s"``, ``"5m"``, or milliseconds as a number; default ``"5m"``
    :param max_retries: how often a failed task is tried again; default 0
    :param allowed_files: files and folders of the project; ``"./data"`` may be read and written,
        ``{"path": "./data", "mode": "ro"}`` only read; default: none
    :param allowed_hosts: hosts that may be reached: ``"api.example.com"``, ``"*.example.com"``,
        ``"*"``, each with an optional ``:port``; default: none
    :param env_variables: names of environment variables that the task sees; default: none
    :param isolation: ``"wasm"`` (default), or ``"jail"``: CPython in a Linux jail, where
        packages with native code work

    What the decorator does not say, ``capsule.toml`` may. An option that cannot be honoured is
    an error with file and line, never a limit that is not there.
    """
    frame = sys._getframe(1)
    place = (frame.f_code.co_filename, frame.f_lineno)

    if function is not None:
        if not callable(function):
            raise TypeError("task() takes options by name: @task(name=…)")
        return _declare(function, {}, place)

    unknown = options.keys() - _OPTIONS
    if unknown:
        word = sorted(unknown)[0]
        raise TypeError(f"task() has no option {word!r}{_nearest(word)}")
    given = {key: _plain(value) for key, value in options.items() if value is not None}
    return lambda function: _declare(function, given, place)


_OPTIONS = {
    "name",
    "compute",
    "ram",
    "timeout",
    "max_retries",
    "allowed_files",
    "allowed_hosts",
    "env_variables",
    "isolation",
}


def _nearest(word: str) -> str:
    import difflib

    close = difflib.get_close_matches(word, _OPTIONS, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _plain(value: Any) -> Any:
    """Options are what JSON can hold; anything else stays to be refused by the host with its type."""
    if isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    raise TypeError(f"a task option cannot be {type(value).__name__}")


def _declare(function: Callable[..., Any], given: dict[str, Any], place: tuple[str, int]) -> Task[..., Any]:
    options = {"name": getattr(function, "__name__", "task"), **given}
    declared: Task[..., Any] = Task(function, options, place)
    _runtime.on_declared(declared)
    return declared
