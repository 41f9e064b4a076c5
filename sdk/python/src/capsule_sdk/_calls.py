"""What can be said of calls without making them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["IDEMPOTENT", "command_time", "default_key", "default_url", "is_idempotent", "without_none"]

#: Made twice, they do what they do once. A call that broke off half-way is repeated only if
#: it is one of them; any other only if the server cannot have heard of it.
IDEMPOTENT = frozenset(
    {
        "rpc.discover",
        "sandbox.v1.attach",
        "sandbox.v1.closeInput",
        "sandbox.v1.get",
        "sandbox.v1.list",
        "sandbox.v1.listDir",
        "sandbox.v1.logs",
        "sandbox.v1.mkdir",
        "sandbox.v1.processes",
        "sandbox.v1.readFile",
        "sandbox.v1.resize",
        "sandbox.v1.setEnv",
        "sandbox.v1.setNetwork",
        "sandbox.v1.snapshots",
        "sandbox.v1.stat",
        "sandbox.v1.stats",
        "sandbox.v1.templates",
        "sandbox.v1.wait",
        "sandbox.v1.watch",
        "sandbox.v1.watchDir",
        "sandbox.v1.writeFile",
        "volume.v1.list",
    }
)

#: How long commands may take if nothing else is said, as the server has it.
_TIMES = {
    "sandbox.v1.exec": 5_000,
    "sandbox.v1.runCode": 5_000,
    "sandbox.v1.execStream": 5_000,
    "sandbox.v1.wait": 5_000,
    "sandbox.v1.input": 5_000,
    "sandbox.v1.install": 120_000,
}
#: What takes long by nature: an image may have to be fetched, files copied.
_LONG = {
    "sandbox.v1.create": 120_000,
    "sandbox.v1.clone": 120_000,
    "sandbox.v1.snapshot": 120_000,
    "sandbox.v1.restore": 120_000,
}


def is_idempotent(method: str, params: Mapping[str, Any]) -> bool:
    """Whether a call can be made twice."""
    return method in IDEMPOTENT or (method == "sandbox.v1.create" and params.get("key") is not None)


def command_time(method: str, params: Mapping[str, Any]) -> float:
    """Milliseconds that a call may take by what it asks for, beside its way there and back."""
    if method == "sandbox.v1.batch":
        return float(sum(one.get("timeout_ms", 5_000) for one in params.get("commands", ())))
    if method in _TIMES:
        return float(params.get("timeout_ms", _TIMES[method]))
    return float(_LONG.get(method, 0))


def without_none(**params: Any) -> dict[str, Any]:
    """What is not given is not sent: the server's defaults are the only ones."""
    return {name: value for name, value in params.items() if value is not None}


def default_url() -> str:
    """``CAPSULE_URL``, or where a server listens if nothing is said."""
    return os.environ.get("CAPSULE_URL") or "http://127.0.0.1:8080"


def default_key() -> str | None:
    """``CAPSULE_API_KEY``."""
    return os.environ.get("CAPSULE_API_KEY") or None
