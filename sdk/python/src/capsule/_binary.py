"""Where the capsule binary is. Nothing is guessed: a place that is named must hold it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .errors import BinaryNotFound

__all__ = ["find"]

_found: dict[tuple[str | None, str | None, str | None], str] = {}


def find(named: str | os.PathLike[str] | None = None) -> str:
    """The binary: as named, else ``CAPSULE_BIN``, else the package's own, else on ``PATH``."""
    name = None if named is None else os.fspath(named)
    key = (name, os.environ.get("CAPSULE_BIN"), os.environ.get("PATH"))
    path = _found.get(key)
    if path is None:
        path = _found[key] = _find(name, key[1])
    return path


def _find(name: str | None, variable: str | None) -> str:
    if name is not None:
        return _checked(name, "capsule_path")
    if variable:
        return _checked(variable, "CAPSULE_BIN")
    carried = Path(__file__).parent / "bin" / "capsule"
    if carried.is_file():
        return _checked(str(carried), "the package")
    found = shutil.which("capsule")
    if found is None:
        raise BinaryNotFound(
            "there is no capsule binary: not in CAPSULE_BIN, not in this package, not on PATH",
            hint="build it with `make build` and set CAPSULE_BIN to dist/capsule, or pass capsule_path=…",
        )
    return os.path.abspath(found)


def _checked(name: str, who: str) -> str:
    # A bare name is looked for on PATH, as a shell would.
    found = shutil.which(os.path.expanduser(name))
    if found is None:
        what = "cannot be executed" if os.path.exists(os.path.expanduser(name)) else "does not exist"
        raise BinaryNotFound(f"{who} names {name!r}, which {what}", hint="name the capsule binary itself")
    return os.path.abspath(found)
