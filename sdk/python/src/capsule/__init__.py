"""Capsule: run code that nobody has read yet, and let it do no harm.

    from capsule import task

    @task(name="main", compute="LOW", ram="64MB")
    def main() -> str:
        return "Hello from Capsule!"

``capsule run hello.py`` runs ``main`` in a WebAssembly sandbox; so does, from another
program,

    from capsule import run

    result = await run(file="hello.py")
"""

from typing import TYPE_CHECKING, Any

from . import http
from ._task import AllowedFile, ProgramTask, Task, task, task_of
from .errors import BinaryNotFound, CapsuleError, DeniedError, SessionLost, TaskError, WorkerError

if TYPE_CHECKING:
    from ._code import run_javascript, run_javascript_sync, run_python, run_python_sync
    from ._result import ErrorInfo, Evaluation, Execution, HostRequest, Result
    from ._run import OutputHandler, print_output, run, run_sync
    from ._session import Session, SyncSession
    from ._submission import Submission

__all__ = [
    # What programs use.
    "task",
    "task_of",
    "Task",
    "ProgramTask",
    "AllowedFile",
    "Submission",
    "http",
    # What runs programs, from outside.
    "run",
    "run_sync",
    "run_python",
    "run_python_sync",
    "run_javascript",
    "run_javascript_sync",
    "Session",
    "SyncSession",
    "Result",
    "ErrorInfo",
    "Execution",
    "HostRequest",
    "Evaluation",
    "OutputHandler",
    "print_output",
    # What can go wrong.
    "CapsuleError",
    "TaskError",
    "SessionLost",
    "DeniedError",
    "WorkerError",
    "BinaryNotFound",
]

# Loaded when they are asked for: a sandbox has none of them, and programs are loaded often.
_LATER = {
    "run": "_run",
    "run_sync": "_run",
    "print_output": "_run",
    "OutputHandler": "_run",
    "run_python": "_code",
    "run_python_sync": "_code",
    "run_javascript": "_code",
    "run_javascript_sync": "_code",
    "Session": "_session",
    "SyncSession": "_session",
    "Result": "_result",
    "ErrorInfo": "_result",
    "Execution": "_result",
    "HostRequest": "_result",
    "Evaluation": "_result",
    "Submission": "_submission",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'capsule' has no attribute {name!r}")
    import importlib

    try:
        module = importlib.import_module(f"capsule.{_LATER[name]}")
    except ModuleNotFoundError as error:
        if error.name != f"capsule.{_LATER[name]}":
            raise
        raise ImportError(
            f"capsule.{name} starts sandboxes from outside and is not there inside one; "
            "a task calls other tasks of its program as functions"
        ) from None
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
