"""HTTP/1.1 as text: addresses, heads, and what a body is. Does no I/O.

The package brings its own client because the one of the standard library limits the time of
each system call and not of a call as a whole, cannot be cancelled, and has no ``async``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from .errors import ProtocolError

__all__ = ["Address", "Head", "parse_head", "query", "request_head", "segment"]

#: Longest head of an answer.
MOST_HEAD = 64 * 1024


@dataclass(frozen=True)
class Address:
    """Where the server is."""

    host: str
    port: int
    is_tls: bool = False
    #: The path of a Unix socket, in place of the others.
    unix: str = ""
    #: What stands before every path.
    prefix: str = ""

    @classmethod
    def of(cls, url: str) -> Address:
        """Reads ``http://host:port``, ``https://…`` or ``unix:/path``."""
        if url.startswith("unix:"):
            path = "/" + url.removeprefix("unix:").lstrip("/")
            if path == "/":
                raise ValueError(f"{url!r} names no socket")
            return cls("localhost", 0, unix=os.fspath(path))
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http://, https:// or unix: address")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("an address has no user, query or fragment; give api_key=… for a key")
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        return cls(parts.hostname, port, is_tls, prefix=parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """For the header ``Host``."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        if self.unix or self.port == (443 if self.is_tls else 80):
            return name
        return f"{name}:{self.port}"

    def url(self, scheme: str, target: str) -> str:
        """A URL of the server, with ``http`` or ``ws`` as scheme, and an ``s`` if there is TLS."""
        return f"{scheme}{'s' if self.is_tls else ''}://{self.authority}{self.prefix}{target}"

    def __str__(self) -> str:
        return f"unix:{self.unix}" if self.unix else self.url("http", "")


def segment(text: str) -> str:
    """A part of a path."""
    # What a server takes for a step upwards is no name of anything.
    return quote(text, safe="") if text not in (".", "..") else quote(text).replace(".", "%2E")


def query(values: Mapping[str, str | int | None]) -> str:
    """``?name=value…``, or nothing."""
    given = {name: value for name, value in values.items() if value is not None}
    return f"?{urlencode(given, quote_via=quote)}" if given else ""


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """The head of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    for line in lines:
        # A line break would be the beginning of another header, or of another request.
        if not line.isascii() or not line.isprintable():
            raise ValueError(f"a header or path holds what no header may hold: {line.split(':')[0]!r}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


@dataclass(frozen=True)
class Head:
    """The head of an answer."""

    status: int
    #: By names in lower case; the last of several.
    headers: dict[str, str]

    @property
    def is_kept_alive(self) -> bool:
        """Whether the connection can carry another request."""
        return "close" not in self.headers.get("connection", "").lower()

    @property
    def has_body(self) -> bool:
        """Whether one follows."""
        return self.status not in (204, 304) and self.status >= 200

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int | None:
        """The length of the body, if it is told."""
        text = self.headers.get("content-length")
        if text is None:
            return None
        if not (text.isascii() and text.isdigit()):
            raise ProtocolError("the server told a length that is no number")
        return int(text)

    @property
    def kind(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse_head(data: bytes) -> Head:
    """Reads a head, without the empty line."""
    first, *lines = data.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (
        len(status) == 3 and status.isascii() and status.isdigit()
    ):
        raise ProtocolError("what answers is no HTTP server")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError("the server sent a header without a colon")
        headers[name.strip().lower()] = value.strip()
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    return Head(int(status), headers)
