"""What the host calls. Imported once, when the runtime is built; its memory is the image."""

import gc
import sys

import wit_world
from componentize_py_types import Err
from wit_world.imports import types

# The order matters: `ssl` is there before those who look whether it is; the standard
# library is collected from the build's file system, then what WebAssembly cannot have
# is replaced.
from guest import tls

tls.install()

from guest import stdlib

stdlib.preload()

from guest import stubs

stubs.install()
stdlib.freeze()

from guest import sockets

sockets.install()

from guest import (
    chance, lasting, layer, loop, operations, output, pread, program, rehearsal, report, room, session, sleep, threads,
    values,
)

for _part in (loop, output, pread, sleep, threads, program):
    _part.install()


def _failed(error: BaseException) -> Err:
    if isinstance(error, MemoryError):
        room.give(error)
    return Err(types.Failure(*report.of(error)))


class WitWorld(wit_world.WitWorld):
    def absorb(self, modules: list[str], native: list[str]) -> list[tuple[str, str]]:
        try:
            return layer.absorb(modules, native)
        except BaseException as error:
            raise _failed(error) from None

    def wake(self, roots: int) -> None:
        layer.wake(roots)

    def read_program(self) -> None:
        """A program is read where it is loaded."""

    def load(self, environment: list[tuple[str, str]] | None) -> str:
        try:
            room.keep()
            return program.load(environment)
        except BaseException as error:
            raise _failed(error) from None
        finally:
            output.flush()

    def begin(self, task: str, arguments: str, environment: list[tuple[str, str]]) -> types.Step:
        try:
            room.keep()
            return _step(loop.begin(lambda: program.invoke(task, arguments, environment)))
        except BaseException as error:
            raise _failed(error) from None
        finally:
            output.flush()

    def advance(self, events: list[types.Event]) -> types.Step:
        try:
            operations.deliver(events)
            return _step(loop.resume())
        except BaseException as error:
            raise _failed(error) from None
        finally:
            output.flush()

    def evaluate(self, code: str, name: str) -> str:
        try:
            room.keep()
            return session.evaluate(code, name)
        except BaseException as error:
            raise _failed(error) from None
        finally:
            output.flush()


def _step(state: loop.State) -> types.Step:
    if isinstance(state, loop.Done):
        return types.Step_Done(values.encode(state.value))
    return types.Step_Waiting(state.nanoseconds)


rehearsal.rehearse(WitWorld())
chance.install()

sys.path[:] = []
sys.path_importer_cache.clear()
sys.dont_write_bytecode = True
gc.collect()
_image = lasting.survey()
# What is alive now lives for ever: no collection need look at it, or write to it.
gc.freeze()
