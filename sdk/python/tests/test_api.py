"""What the package promises to editors and readers."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import re
import typing
from pathlib import Path

import pytest

import capsule
from capsule import _task

PAIRS = [
    (capsule.run, capsule.run_sync),
    (capsule.run_python, capsule.run_python_sync),
    (capsule.run_javascript, capsule.run_javascript_sync),
    *[
        (getattr(capsule.Session, name), getattr(capsule.SyncSession, name))
        for name in ("run", "import_file", "export_file", "delete_file", "reset", "close")
    ],
]


@pytest.mark.parametrize(("asynchronous", "synchronous"), PAIRS, ids=lambda function: function.__qualname__)
def test_both_clients_agree(asynchronous: object, synchronous: object) -> None:
    assert inspect.iscoroutinefunction(asynchronous)
    assert not inspect.iscoroutinefunction(synchronous)
    assert inspect.signature(asynchronous) == inspect.signature(synchronous)  # type: ignore[arg-type]


def test_both_sessions_have_the_same_members() -> None:
    def members(kind: type) -> dict[str, str | None]:
        return {name: getattr(kind, name).__doc__ for name in vars(kind) if not name.startswith("_")}

    assert members(capsule.Session) == members(capsule.SyncSession)
    assert capsule.Session.__init__ is capsule.SyncSession.__init__


def test_everything_public_is_there_and_documented() -> None:
    assert len(set(capsule.__all__)) == len(capsule.__all__)
    assert set(capsule.__all__) <= set(dir(capsule))
    for name in capsule.__all__:
        value = getattr(capsule, name)
        if not inspect.isclass(value) and not inspect.isfunction(value) and not inspect.ismodule(value):
            continue
        assert inspect.getdoc(value), name
        for member, function in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isfunction(function) and not member.startswith("_"):
                assert inspect.getdoc(function), f"{name}.{member}"
    with pytest.raises(AttributeError, match="surprise"):
        capsule.surprise  # noqa: B018


def documented(text: str | None) -> set[str]:
    return set(re.findall(r":param (\w+):", text or ""))


def test_every_option_is_documented_and_completed() -> None:
    signatures = [inspect.signature(overload) for overload in typing.get_overloads(_task.task)]
    (full,) = [signature for signature in signatures if "compute" in signature.parameters]
    options = set(full.parameters)
    assert options == _task._OPTIONS == documented(capsule.task.__doc__)
    assert set(inspect.signature(capsule.run).parameters) == documented(capsule.run.__doc__)
    session = inspect.signature(capsule.Session.__init__).parameters
    assert set(session) - {"self"} == documented(capsule.Session.__init__.__doc__)


def test_the_package_is_typed_and_depends_on_nothing() -> None:
    folder = Path(capsule.__file__).parent
    assert (folder / "py.typed").exists()
    assert not importlib.metadata.requires("capsule")


def test_a_sandbox_loads_nothing_of_the_client() -> None:
    # What the guest has of this package stands in guests/build.sh; the rest must wait
    # until it is asked for.
    tree = ast.parse(Path(capsule.__file__).read_text())
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"typing", None, "_task", "errors"}
