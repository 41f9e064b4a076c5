"""One call of one task, from the first frame to the last."""

import importlib.util
import json
import os
import sys
import sysconfig
from importlib.machinery import PathFinder

from guest.channel import Channel, TooLarge


def main(fd: int, start: dict) -> None:
    """Loads the program, calls the task, tells what came of it."""
    from wit_world.imports import host

    channel = host.channel = Channel(fd)
    host.program = start["program"]
    # From here on what fails is the program, and not the interpreter.
    channel.send({"hello": {}})
    _open_streams()
    from guest import report, values

    try:
        value = _call(start)
        answer = b'{"done":', values.encode(value).encode(), b"}"
        if sum(map(len, answer)) > channel.MOST:
            raise TooLarge("the result", len(answer[1]))
    except BaseException as error:
        if not channel.is_mine():
            raise
        kind, message, traceback = report.of(error)
        failed = {"failed": {"kind": kind, "message": message, "traceback": traceback}}
        answer = (json.dumps(failed, ensure_ascii=False).encode("utf-8", "replace"),)
    if not channel.is_mine():
        # A process that the task forked came here by itself.
        sys.exit(0)
    _flush()
    # What is left is what every program does when it ends: exit handlers, open files.
    channel.finish(*answer)


def _call(start: dict):
    from capsule import _runtime
    from guest import program

    _find_modules(program, start["packages"])
    _runtime.install(program._Runtime())
    program.load(list(os.environ.items()))
    # As it is now: the program's top level may have set variables for its libraries.
    value = program.invoke(start["task"], start["arguments"], list(os.environ.items()))
    if hasattr(value, "cr_frame"):
        return _run(value)
    return value


def _run(coroutine):
    """As asyncio.run, but its own frames stay out of the traceback."""
    import asyncio

    async def caught():
        try:
            return await coroutine, None
        except Exception as error:
            return None, error

    value, error = asyncio.run(caught())
    if error is not None:
        raise error
    return value


class _Library:
    """The standard library, and nothing else."""

    def __init__(self) -> None:
        paths = sysconfig.get_paths()
        library = [paths["stdlib"], paths["platstdlib"]]
        dynamic = [os.path.join(path, "lib-dynload") for path in library]
        known = {os.path.realpath(path) for path in library + dynamic}
        self._path = [path for path in sys.path if path.endswith(".zip") or os.path.realpath(path) in known]

    def find_spec(self, name, path=None, target=None):
        return PathFinder.find_spec(name, self._path, target) if path is None else None


def _find_modules(program, packages: str) -> None:
    """The standard library first, then what lies beside the program, then packages."""

    class Finder(program.Finder):
        def find_spec(self, name, path=None, target=None):
            above = name.rpartition(".")[0]
            if above and above not in self._found:
                # Below a package that is not the program's, nothing is.
                return None
            return super().find_spec(name, path, target)

    program._finder = Finder()
    library = _Library()
    position = sys.meta_path.index(PathFinder)
    sys.meta_path[position:position] = [library, program._finder]
    if packages:
        # Before the interpreter's own packages, after its library.
        sys.path.insert(len(library._path), packages)


def _open_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
