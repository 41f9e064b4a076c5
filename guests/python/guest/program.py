"""The user's program: how it is found, loaded, and called."""

import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import sys
import types

from wit_world.imports import host

import capsule
from capsule import _runtime
from guest import calls, chance, operations, values

_tasks: dict[str, "capsule.Task"] = {}
#: Tasks of other programs that were named while the program was loaded.
_named: list["capsule.ProgramTask"] = []
_module: types.ModuleType | None = None
_is_loading = False


class Finder:
    """Asks the host for the modules that lie beside the program."""

    def __init__(self) -> None:
        self._found: dict[str, host.Module] = {}

    def find_spec(self, name, path=None, target=None):
        # What is no text names no file, and cannot be asked for.
        module = host.source(name) if values.is_whole(name) else None
        if module is None:
            return None
        operations.arrived(host)
        return self.spec(name, module)

    def spec(self, name: str, module) -> importlib.machinery.ModuleSpec:
        self._found[name] = module
        spec = importlib.machinery.ModuleSpec(name, self, origin=module.path, is_package=module.is_package)
        spec.has_location = True
        return spec

    def create_module(self, spec):
        return None

    def get_code(self, fullname):
        module = self._found[fullname]
        return compile(module.source, module.path, "exec", dont_inherit=True)

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)

    def is_package(self, fullname):
        return self._found[fullname].is_package

    def get_source(self, fullname):
        # Asked for by tracebacks.
        found = self._found.get(fullname)
        return None if found is None else importlib.util.decode_source(found.source)


_finder = Finder()


class _Runtime(calls.GuestRuntime):
    def declared(self, task) -> None:
        other = _tasks.get(task.name)
        if other is not None and other.place != task.place:
            file, line = task.place
            raise ValueError(
                f"{file}:{line}: two tasks are named {task.name!r}; the other is at {other.place[0]}:{other.place[1]}"
            )
        _tasks[task.name] = task

    def named(self, task) -> None:
        if _is_loading:
            _named.append(task)


def install() -> None:
    """Lets programs be found, and their tasks be heard of."""
    # After the standard library, so that a program cannot replace it by accident.
    position = next(i for i, finder in enumerate(sys.meta_path) if finder is importlib.machinery.PathFinder)
    library = sys.meta_path.pop()
    sys.meta_path[position:position] = [library, _finder]
    _runtime.install(_Runtime())


class _WatchedEnvironment(os._Environ):
    """Notes whether anybody looked."""

    looked = False

    def __getitem__(self, key):
        _WatchedEnvironment.looked = True
        return super().__getitem__(key)

    def __iter__(self):
        _WatchedEnvironment.looked = True
        return super().__iter__()

    def __len__(self):
        _WatchedEnvironment.looked = True
        return super().__len__()


def _set_environment(environment: list[tuple[str, str]]) -> None:
    os.environ.__class__ = os._Environ
    os.environ.clear()
    os.environ.update(environment)


def load(environment: list[tuple[str, str]] | None) -> str:
    """Runs the program's top level; what it declares, as JSON."""
    global _module, _is_loading
    _set_environment(environment or [])
    if environment is not None:
        chance.seed()
    else:
        os.environ.__class__ = _WatchedEnvironment
    found = host.source("")
    operations.arrived(host)
    stem = os.path.basename(found.path).removesuffix(".py")
    # As `python FILE` would, but under its own name: `if __name__ == "__main__"` is for other ways to run it.
    name = stem if stem.isidentifier() and stem not in sys.modules and stem != "__main__" else "__capsule__"
    sys.argv = [found.path]
    spec = _finder.spec(name, found)
    _module = importlib.util.module_from_spec(spec)
    sys.modules[name] = _module
    _is_loading = environment is None
    try:
        _finder.exec_module(_module)
    except SystemExit as error:
        raise RuntimeError(f"the program called exit({error.code!r}) while it was loaded") from None
    finally:
        _is_loading = False
    _add_main()
    declared = [_description(task) for task in _tasks.values()]
    pure = environment is None and not _WatchedEnvironment.looked and not chance.was_used()
    told = json.dumps({"tasks": declared, "uses": [_use(task) for task in _named], "pure": pure})
    if "\\ud" in told:
        # Maybe half a character, which the host would not take for JSON.
        values.encode(json.loads(told), "the declaration")
    return told


def forget() -> None:
    """Forgets the program."""
    global _module
    _tasks.clear()
    _named.clear()
    _finder._found.clear()
    _module = None


def _add_main() -> None:
    """A program without a task `main` gets one: its function or task `main`, or nothing but its top level."""
    if "main" in _tasks:
        return
    function = getattr(_module, "main", None)
    if inspect.isfunction(function):
        capsule.task(function)
    elif isinstance(function, capsule.Task):
        # The function `main` is the entry, whatever its task is called.
        _tasks["main"] = capsule.Task(function.function, {**function.options, "name": "main"}, function.place)
    elif not _tasks:
        capsule.task(name="main")(lambda *arguments: None)


def _description(task) -> dict:
    return {"name": task.name, "options": task.options, "file": task.place[0], "line": task.place[1]}


def _use(task) -> dict:
    return {"name": task.name, "file": task.place[0], "line": task.place[1]}


def invoke(name: str, arguments: str, environment: list[tuple[str, str]]):
    """Calls a task's function."""
    chance.seed()
    _set_environment(environment)
    given = values.decode(arguments)
    task = _tasks.get(name)
    if task is None:
        raise LookupError(f"the program has no task {name!r}")
    return task.function(*given["args"], **given["kwargs"])
