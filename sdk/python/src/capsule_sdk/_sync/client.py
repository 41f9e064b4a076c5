# Made from _async/client.py by generate_sync.py. Change that one.
"""The client: the way to a server, and what is not about one sandbox."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from .._calls import default_key, default_url, without_none
from .._http import Address
from .._output import loads
from .._types import (
    Created,
    Limits,
    LogEntry,
    NetworkPolicy,
    SandboxInfo,
    SandboxPage,
    Snapshot,
    SnapshotPage,
    Template,
    Volume,
    VolumeMount,
    read,
)
from ..errors import NotFound
from .sandbox import Sandbox, listed
from .transport import Transport

__all__ = ["CapsuleClient"]


class CapsuleClient:
    """A client of ``capsule serve``::

        with CapsuleClient("http://localhost:8080") as client:
            with client.create("python") as sandbox:
                print((sandbox.run("print(sum(range(10)))")).stdout)

    Args:
        base_url: ``http://…``, ``https://…`` or ``unix:/path``. Default: ``CAPSULE_URL``, else
            ``http://127.0.0.1:8080``.
        api_key: sent with every request. Default: ``CAPSULE_API_KEY``.
        deadline_ms: what a call may take, beside the time that it gives its command. Each
            method takes another one.
        silence_ms: how long a stream, an upload or a download may stand still. The server
            shows every 15 seconds that it lives.
        retries: how often a call is made again that could not be sent, or that broke off and
            does the same when made twice.
        tls: for ``https://``. Default: the system's certificates.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        deadline_ms: float = 30_000,
        silence_ms: float = 45_000,
        retries: int = 2,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._transport = Transport(
            Address.of(base_url or default_url()),
            api_key=api_key if api_key is not None else default_key(),
            deadline_ms=deadline_ms,
            silence_ms=silence_ms,
            retries=retries,
            tls=tls,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections. Sandboxes live on."""
        self._transport.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._transport.address)!r})"

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, deadline_ms: float | None = None
    ) -> Any:
        """The result of any method, as JSON has it."""
        return self._transport.call(method, params or {}, deadline_ms)

    # --- sandboxes ---

    def create(
        self,
        template: str | None = None,
        *,
        ttl_ms: int | None = None,
        idle_ms: int | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        key: str | None = None,
        limits: Limits | None = None,
        network: NetworkPolicy | None = None,
        volumes: Sequence[VolumeMount] | None = None,
        on_expiry: Literal["delete", "pause"] | None = None,
        snapshot: str | Snapshot | None = None,
        deadline_ms: float | None = None,
    ) -> Sandbox:
        """Makes a sandbox (default: of the template ``python``, for 10 minutes).

        With ``key`` the call can be repeated: the same key and parameters answer with the same
        sandbox, as long as it lives; so it is made again if it breaks off. With ``snapshot``
        the sandbox begins with the files of one. With ``on_expiry="pause"`` it is paused when its
        time is over, and its files are kept as a snapshot of its id.
        """
        params = without_none(
            template=template,
            ttl_ms=ttl_ms,
            idle_ms=idle_ms,
            env=env,
            labels=labels,
            metadata=metadata,
            key=key,
            limits=limits,
            network=network,
            volumes=volumes,
            on_expiry=on_expiry,
            snapshot=snapshot.id if isinstance(snapshot, Snapshot) else snapshot,
        )
        created = read(Created, self.call("sandbox.v1.create", params, deadline_ms=deadline_ms))
        return Sandbox(self, created.id, created)

    def sandbox(self, id: str) -> Sandbox:
        """A sandbox by its id. Nothing is asked."""
        return Sandbox(self, id)

    def get(self, id: str, *, deadline_ms: float | None = None) -> SandboxInfo:
        """Everything about a sandbox."""
        return self.sandbox(id).info(deadline_ms=deadline_ms)

    def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        after: str | None = None,
        deadline_ms: float | None = None,
    ) -> SandboxPage:
        """A page of the caller's sandboxes: those that carry all of the labels, after an id."""
        params = without_none(labels=labels, limit=limit, after=after)
        return read(SandboxPage, self.call("sandbox.v1.list", params, deadline_ms=deadline_ms))

    def sandboxes(
        self, *, labels: Mapping[str, str] | None = None, deadline_ms: float | None = None
    ) -> Iterator[SandboxInfo]:
        """All of them, page by page."""
        after: str | None = None
        while True:
            page = self.list(labels=labels, after=after, deadline_ms=deadline_ms)
            for one in page.sandboxes:
                yield one
            if not page.more or not page.sandboxes:
                return
            after = page.sandboxes[-1].id

    def delete(self, id: str, *, missing_ok: bool = False, deadline_ms: float | None = None) -> None:
        """Ends a sandbox."""
        try:
            self.sandbox(id).delete(deadline_ms=deadline_ms)
        except NotFound:
            if not missing_ok:
                raise

    def templates(self, *, deadline_ms: float | None = None) -> Sequence[Template]:
        """What sandboxes can be made of."""
        told = self.call("sandbox.v1.templates", {}, deadline_ms=deadline_ms)
        return listed(Template, told, "templates")

    def logs(
        self,
        *,
        id: str | None = None,
        contains: str | None = None,
        failed: bool | None = None,
        kind: str | None = None,
        limit: int | None = None,
        before: int | None = None,
        deadline_ms: float | None = None,
    ) -> Sequence[LogEntry]:
        """Executions of the past, newest first; of one sandbox, which may have ended, or of all."""
        params = without_none(id=id, contains=contains, failed=failed, kind=kind, limit=limit, before=before)
        told = self.call("sandbox.v1.logs", params, deadline_ms=deadline_ms)
        return listed(LogEntry, told, "executions")

    # --- snapshots and volumes ---

    def snapshots(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        after: str | None = None,
        deadline_ms: float | None = None,
    ) -> SnapshotPage:
        """A page of the snapshots that are kept."""
        params = without_none(labels=labels, limit=limit, after=after)
        return read(SnapshotPage, self.call("sandbox.v1.snapshots", params, deadline_ms=deadline_ms))

    def delete_snapshot(self, snapshot: str | Snapshot, *, deadline_ms: float | None = None) -> None:
        """Forgets one."""
        which = snapshot if isinstance(snapshot, str) else snapshot.id
        self.call("sandbox.v1.deleteSnapshot", {"snapshot": which}, deadline_ms=deadline_ms)

    def create_volume(self, name: str, size_bytes: int, *, deadline_ms: float | None = None) -> Volume:
        """Makes a place for files that outlives sandboxes."""
        params = {"name": name, "size_bytes": size_bytes}
        told = self.call("volume.v1.create", params, deadline_ms=deadline_ms)
        return read(Volume, told.get("volume") if isinstance(told, dict) else None)

    def volumes(self, *, deadline_ms: float | None = None) -> Sequence[Volume]:
        """All of them."""
        return listed(Volume, self.call("volume.v1.list", {}, deadline_ms=deadline_ms), "volumes")

    def delete_volume(self, name: str, *, deadline_ms: float | None = None) -> None:
        """Removes one, with all that it holds."""
        self.call("volume.v1.delete", {"name": name}, deadline_ms=deadline_ms)

    # --- the server ---

    def discover(self, *, deadline_ms: float | None = None) -> dict[str, Any]:
        """The OpenRPC document of the server."""
        document: dict[str, Any] = self.call("rpc.discover", {}, deadline_ms=deadline_ms)
        return document

    def health(self, *, deadline_ms: float | None = None) -> dict[str, Any]:
        """Whether it lives, and its version; asked without a key."""
        return self._json("/health", deadline_ms)

    def doctor(self, *, deadline_ms: float | None = None) -> dict[str, Any]:
        """What the server's host can enforce."""
        return self._json("/doctor", deadline_ms)

    def metrics(self, *, deadline_ms: float | None = None) -> str:
        """The server's figures, as Prometheus reads them."""
        return (self._get("/metrics", deadline_ms)).decode()

    def _json(self, target: str, deadline_ms: float | None) -> dict[str, Any]:
        told: dict[str, Any] = loads(self._get(target, deadline_ms))
        return told

    def _get(self, target: str, deadline_ms: float | None) -> bytes:
        answer = self._transport.get(target, {}, deadline_ms, target)
        return self._transport.whole(answer, deadline_ms, target)
