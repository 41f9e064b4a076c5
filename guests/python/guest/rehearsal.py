"""A rehearsal, when the runtime is built: what every run does is done some times.

The interpreter specialises code that runs often, and remembers where types have their
attributes. What it learns here is in the image; else every run would learn it anew,
and write to as many pages of its memory.
"""

import asyncio
import gc
import linecache
import os
import sys

from componentize_py_types import Err
from wit_world.imports import host

from guest import program, session

_ROUNDS = 24

_PROGRAM = '''\
"""A program such as users write."""

from __future__ import annotations

import json
from dataclasses import dataclass

from capsule import task


@dataclass
class Point:
    x: int
    y: int


@task(name="child", compute="LOW", ram="64MB", timeout="30s", max_retries=1, allowed_files=["./data"])
def child(items: list, factor: int = 2) -> dict:
    total = sum(item * factor for item in items)
    return {"total": total, "text": f"{total:>5}", "items": [str(item) for item in items]}


@task
def failing(name: str) -> None:
    raise ValueError(f"no {name}")


@task(name="wait")
async def wait() -> list:
    return [1, 2.5, None, True]


@task(name="main", compute="LOW", ram="64MB")
def main(*args, **kwargs) -> object:
    if args:
        return {"point": Point(1, 2), "text": json.dumps(args), "args": args}
    return "Hello"
'''

_SESSION = """\
x = 1
def double(value):
    return 2 * value
class Thing:
    pass
double(x)
"""


class _Host:
    """Stands for the host, which does not exist yet."""

    @staticmethod
    def source(name: str):
        return None if name else host.Module("main.py", False, _PROGRAM.encode())

    @staticmethod
    def cancel(operation: int) -> None:
        pass


def rehearse(world) -> None:
    """Does it, and leaves no other trace."""
    modules = set(sys.modules)
    argv = sys.argv
    program.host = _Host
    for _ in range(_ROUNDS):
        world.load(None)
        for name, given in (
            ("main", '{"args":[],"kwargs":{}}'),
            ("main", '{"args":["a",2],"kwargs":{"b":[1.5,null]}}'),
            ("child", '{"args":[[1,2,3]],"kwargs":{"factor":3}}'),
            ("wait", '{"args":[],"kwargs":{}}'),
            ("failing", '{"args":["luck"],"kwargs":{}}'),
        ):
            _ignore(world.begin, name, given, [])
        program.forget()
        _ignore(world.evaluate, _SESSION, "")
        _ignore(world.evaluate, "1 / 0", "")
        session.forget()
        for name in set(sys.modules) - modules:
            del sys.modules[name]
    program.host = host
    sys.argv = argv
    os.environ.clear()
    linecache.clearcache()
    asyncio.events.set_event_loop(None)
    gc.collect()


def _ignore(function, *arguments) -> None:
    try:
        function(*arguments)
    except Err:
        pass
