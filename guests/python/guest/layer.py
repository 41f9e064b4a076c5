"""Packages that are imported once, and then are in the memory of every sandbox.

The memory of an instance that has imported them is saved, and other instances start
with it. Memory is all that is saved: the handles that the C library holds are the
instance's. So the library is made to ask for its root before anything else, and an
instance that starts with the memory asks as often, and gets the same numbers.
"""

import gc
import importlib
import importlib.abc
import os
import sys

from wit_world.imports import preopens

from guest import report

#: Where a program's packages are.
PACKAGES = "/packages"

_roots: list = []


class _Native(importlib.abc.MetaPathFinder):
    """Says why a package with native code cannot be imported."""

    def __init__(self, packages: set[str], modules: set[str]) -> None:
        self._packages = packages
        self._modules = modules

    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in self._packages or name in self._modules:
            # `from package import module` passes over an error that names the module itself.
            raise ModuleNotFoundError(
                f"{name} needs native code, which a Wasm sandbox does not run; "
                'the task option isolation="jail" runs it in CPython',
                name=package,
            )
        return None


def absorb(modules: list[str], native: list[str]) -> list[tuple[str, str]]:
    """Imports the modules; those that could not be, and why."""
    # The C library asks for its root now, before it holds any other handle.
    os.stat("/")
    sys.path[:] = [PACKAGES]
    importlib.invalidate_caches()
    failed = []
    refused: set[str] = set()
    packages = {name.partition(".")[0] for name in native}
    # A module may be there in Python as well: that is then the slow path.
    gone = {name for name in native if not os.path.exists(f"{PACKAGES}/{name.replace('.', '/')}.py")}
    if gone:
        sys.meta_path.insert(0, _Native(refused, gone))
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            failed.append((name, report.text(f"{type(error).__name__}: {error}")))
            if name in packages:
                refused.add(name)
                for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == name]:
                    del sys.modules[loaded]
    gc.collect()
    gc.freeze()
    return failed


def wake(roots: int) -> None:
    """Opens the root so many times. The handles are never given back: they are the C library's."""
    for _ in range(roots):
        _roots.extend(preopens.get_directories())
