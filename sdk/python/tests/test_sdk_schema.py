"""The package speaks of all that the server does: its methods, their parameters, the fields of
the answers. ``schema/openrpc.json`` is held to the server by CI."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest
from serving import METHODS, SCHEMA

import capsule_sdk
from capsule_sdk import _types, errors

#: Which class has the method of which name. What is not here is not there.
WHERE = {
    "rpc.discover": "CapsuleClient.discover",
    "sandbox.v1.attach": "Process.output",
    "sandbox.v1.batch": "Sandbox.batch",
    "sandbox.v1.clone": "Sandbox.clone",
    "sandbox.v1.closeInput": "Process.close_input",
    "sandbox.v1.create": "CapsuleClient.create",
    "sandbox.v1.delete": "Sandbox.delete",
    "sandbox.v1.deleteSnapshot": "CapsuleClient.delete_snapshot",
    "sandbox.v1.exec": "Sandbox.exec",
    "sandbox.v1.execStream": "Sandbox.exec_stream",
    "sandbox.v1.extend": "Sandbox.extend",
    "sandbox.v1.get": "Sandbox.info",
    "sandbox.v1.input": "Process.input",
    "sandbox.v1.install": "Sandbox.install",
    "sandbox.v1.kill": "Process.kill",
    "sandbox.v1.list": "CapsuleClient.list",
    "sandbox.v1.listDir": "Sandbox.list_dir",
    "sandbox.v1.logs": "CapsuleClient.logs",
    "sandbox.v1.mkdir": "Sandbox.mkdir",
    "sandbox.v1.move": "Sandbox.move",
    "sandbox.v1.openContext": "Sandbox.open_context",
    "sandbox.v1.pause": "Sandbox.pause",
    "sandbox.v1.processes": "Sandbox.processes",
    "sandbox.v1.readFile": "Sandbox.read_file",
    "sandbox.v1.remove": "Sandbox.remove",
    "sandbox.v1.resize": "Process.resize",
    "sandbox.v1.restore": "Sandbox.restore",
    "sandbox.v1.resume": "Sandbox.resume",
    "sandbox.v1.runCode": "Sandbox.run",
    "sandbox.v1.setEnv": "Sandbox.set_env",
    "sandbox.v1.setNetwork": "Sandbox.set_network",
    "sandbox.v1.snapshot": "Sandbox.snapshot",
    "sandbox.v1.snapshots": "CapsuleClient.snapshots",
    "sandbox.v1.start": "Sandbox.start",
    "sandbox.v1.stat": "Sandbox.stat",
    "sandbox.v1.stats": "Sandbox.stats",
    "sandbox.v1.templates": "CapsuleClient.templates",
    "sandbox.v1.wait": "Process.wait",
    "sandbox.v1.watch": "Sandbox.watch",
    "sandbox.v1.watchDir": "Sandbox.watch_dir",
    "sandbox.v1.writeFile": "Sandbox.write_file",
    "volume.v1.create": "CapsuleClient.create_volume",
    "volume.v1.delete": "CapsuleClient.delete_volume",
    "volume.v1.list": "CapsuleClient.volumes",
}
#: Parameters that Python calls otherwise; `id` and `process` are the object's own.
OTHERWISE = {"from": "source", "to": "target", "stdin_base64": "stdin", "data": "data"}
#: What an answer is called here.
NAMES = {
    "SandboxAnswer": "SandboxInfo",
    "ListAnswer": "SandboxPage",
    "ExecAnswer": "ExecResult",
    "BatchAnswer": "BatchResult",
    "ProcessAnswer": "ProcessInfo",
    "Listed": "FileInfo",
    "FileEntry": "FileStat",
    "StatsAnswer": "Stats",
    "TemplateAnswer": "Template",
    "ResourceLimits": "Limits",
    "Size": "TerminalSize",
    "BatchCommand": "Command",
}


def function_of(method: str) -> Any:
    holder, _, name = WHERE[method].partition(".")
    return getattr(getattr(capsule_sdk, holder), name)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_has_all_its_parameters(method: str) -> None:
    assert method in WHERE, f"{method} is not in capsule_sdk: write it, and say here where it is"
    known = inspect.signature(function_of(method)).parameters
    assert "deadline_ms" in known
    own = {"sandbox.v1.logs"}
    for parameter in METHODS[method]["params"]:
        name = OTHERWISE.get(parameter["name"], parameter["name"])
        if name not in known:
            is_own = name in ("id", "process") and method not in own
            assert is_own, f"{WHERE[method]} lacks {name}"


@pytest.mark.parametrize(
    "name",
    [
        one
        for one in SCHEMA["components"]["schemas"]
        if one in NAMES or inspect.isclass(getattr(_types, one, None))
    ],
)
def test_an_answer_has_all_its_fields(name: str) -> None:
    kind = getattr(_types, NAMES.get(name, name))
    if dataclasses.is_dataclass(kind):
        known = {field.name for field in dataclasses.fields(kind)}
    else:
        known = set(kind.__annotations__)
    schema = SCHEMA["components"]["schemas"][name]
    assert set(schema.get("properties", {})) <= known
    for needed in schema.get("required", []):
        assert needed in known


def test_a_kind_of_error_has_a_class() -> None:
    for name, error in SCHEMA["components"]["errors"].items():
        kind = errors._KINDS[error["code"]]
        told = errors.RequestRefused.of(
            {
                "code": error["code"],
                "message": "m",
                "data": {"type": name, "details": {"error_code": "E1", "hint": "h"}},
            }
        )
        assert type(told) is kind
        assert isinstance(told, errors.RequestRefused)
        assert (told.type, told.code, told.hint, str(told)) == (name, "E1", "h", "m [E1]\nhint: h")
        assert kind.__name__ in capsule_sdk.__all__
    other = errors.RequestRefused.of({"code": -1, "message": "x"})
    assert type(other) is errors.RequestRefused


def test_both_clients_have_the_same_methods() -> None:
    for name in capsule_sdk.__all__:
        if not name.startswith("Async"):
            continue
        kind, twin = getattr(capsule_sdk, name), getattr(capsule_sdk, name.removeprefix("Async"))
        for member, function in inspect.getmembers(kind, inspect.isfunction):
            if member.startswith("_"):
                continue
            other = getattr(twin, {"aclose": "close"}.get(member, member))
            assert list(inspect.signature(function).parameters) == list(inspect.signature(other).parameters)
            assert function.__doc__, f"{name}.{member}"


def test_everything_that_is_public_is_documented() -> None:
    for name in capsule_sdk.__all__:
        value = getattr(capsule_sdk, name)
        if inspect.isclass(value):
            assert inspect.getdoc(value), name
    assert re.match(r"\w", capsule_sdk.__doc__ or "")
