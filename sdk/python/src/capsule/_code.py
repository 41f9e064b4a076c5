"""Code that runs once: ``run_python``, ``run_javascript`` and their ``_sync`` kinds."""

from __future__ import annotations

from ._result import Evaluation
from ._session import Session, SyncSession

__all__ = ["run_javascript", "run_javascript_sync", "run_python", "run_python_sync"]


async def run_python(code: str) -> Evaluation:
    r"""Runs Python in a sandbox without any right: no files, no network, no environment.

    ::

        await run_python("print('Hello'); 5 + 3")  # "Hello\n8"

    The answer is text: what the code printed, and the value of its last expression. The
    parts are its attributes ``stdout``, ``stderr`` and ``value``. Each call has a sandbox
    of its own; :class:`~capsule.Session` keeps one, and takes options.

    :raises TaskError: the code raised an exception, or reached a limit
    """
    async with Session() as session:
        return await session.run(code)


def run_python_sync(code: str) -> Evaluation:
    """As :func:`run_python`, for code without an event loop."""
    with SyncSession() as session:
        return session.run(code)


async def run_javascript(code: str) -> Evaluation:
    r"""As :func:`run_python`, for JavaScript. TypeScript is taken, too.

    ::

        await run_javascript("console.log('Hello'); 5 + 3")  # "Hello\n8"

    ``await`` may stand anywhere; a value that is a promise is waited for.

    :raises TaskError: the code threw something, or reached a limit
    """
    async with Session("javascript") as session:
        return await session.run(code)


def run_javascript_sync(code: str) -> Evaluation:
    """As :func:`run_javascript`, for code without an event loop."""
    with SyncSession("javascript") as session:
        return session.run(code)
