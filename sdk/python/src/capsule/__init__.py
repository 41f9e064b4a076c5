"""Capsule: run code that nobody has read yet, and let it do no harm.

    from capsule import task

    @task(name="main", compute="LOW", ram="64MB")
    def main() -> str:
        return "Hello from Capsule!"

``capsule run hello.py`` runs ``main`` in a WebAssembly sandbox.
"""

from . import http
from ._task import AllowedFile, Task, task
from .errors import CapsuleError, DeniedError, TaskError

__all__ = ["AllowedFile", "CapsuleError", "DeniedError", "Task", "TaskError", "http", "task"]
