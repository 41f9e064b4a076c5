"""A small HTTP client that works inside the sandbox and outside.

Inside, connections go through the host, which checks every one of them (each
redirect too) against the task's ``allowed_hosts``.
"""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import CapsuleError, DeniedError

__all__ = ["HttpError", "Response", "delete", "get", "head", "patch", "post", "put", "request"]

#: The most bytes of a response body that are read into memory.
MAX_BODY_BYTES = 64 * 1024 * 1024
_MOST_REDIRECTS = 10


class HttpError(CapsuleError, OSError):
    """A request could not be made or answered. A status such as 404 is no error; what the
    policy denies is a :class:`~capsule.DeniedError`, what took too long a ``TimeoutError``."""


class Response:
    """An answer. ``content`` is its body, unpacked if it came packed with gzip or deflate."""

    def __init__(
        self, status_code: int, headers: Iterable[tuple[str, str]], content: bytes, url: str
    ) -> None:
        self.status_code = status_code
        self.headers: dict[str, str] = {}
        for name, value in headers:
            name = name.lower()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.content = content
        self.url = url

    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    def text(self) -> str:
        """The body as text, by the charset of its content type (default UTF-8)."""
        charset = "utf-8"
        for part in self.headers.get("content-type", "").split(";")[1:]:
            key, _, value = part.strip().partition("=")
            if key.lower() == "charset":
                charset = value.strip("\"'") or charset
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.content)

    def __repr__(self) -> str:
        return f"<Response {self.status_code}>"


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    data: str | bytes | Mapping[str, Any] | None = None,
    timeout: float | None = 30.0,
    max_body_bytes: int = MAX_BODY_BYTES,
    follow_redirects: bool = True,
) -> Response:
    """Makes a request; ``timeout`` is in seconds, for each read and write."""
    import urllib.parse

    sent = {"accept": "*/*", "user-agent": "capsule", **{k.lower(): v for k, v in (headers or {}).items()}}
    body: bytes | None = None
    if json is not None and data is not None:
        raise ValueError("json and data contradict each other")
    if json is not None:
        body = _json.dumps(json, allow_nan=False).encode()
        sent.setdefault("content-type", "application/json")
    elif isinstance(data, Mapping):
        body = urllib.parse.urlencode(data, doseq=True).encode()
        sent.setdefault("content-type", "application/x-www-form-urlencoded")
    elif isinstance(data, str):
        body = data.encode()
    elif data is not None:
        body = bytes(data)
    if params:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params, doseq=True)
    for _ in range(_MOST_REDIRECTS + 1):
        response = _once(method.upper(), url, sent, body, timeout, max_body_bytes)
        location = response.headers.get("location")
        if not follow_redirects or location is None or response.status_code not in (301, 302, 303, 307, 308):
            return response
        target = urllib.parse.urljoin(url, location)
        if urllib.parse.urlsplit(target)[:2] != urllib.parse.urlsplit(url)[:2]:
            # What was meant for one host is not told to another.
            for name in ("authorization", "cookie", "host", "proxy-authorization"):
                sent.pop(name, None)
        is_post = method.upper() == "POST"
        if (response.status_code == 303 and method.upper() != "HEAD") or (
            response.status_code in (301, 302) and is_post
        ):
            method, body = "GET", None
            sent.pop("content-type", None)
        url = target
    raise HttpError(f"more than {_MOST_REDIRECTS} redirects")


def _once(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    timeout: float | None,
    most: int,
) -> Response:
    import http.client
    import urllib.parse

    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HttpError(f"not a URL with http or https: {url!r}")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    proxy = _proxy(parts.scheme, parts.hostname)
    if proxy is None:
        connection = kind(parts.hostname, parts.port, timeout=timeout)
    else:
        connection = kind(proxy.hostname, proxy.port, timeout=timeout)
        connection.set_tunnel(parts.hostname, parts.port)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(
            method, urllib.parse.quote(path, safe="/%:?#[]@!$&'()*+,;=~-._"), body, dict(headers)
        )
        answer = connection.getresponse()
        content = answer.read(most + 1)
        if answer.length and len(content) <= most:
            raise HttpError(f"the body of {url} ended {answer.length} bytes too early")
        content = _unpacked(content, answer.getheader("Content-Encoding", ""), most, url)
        if len(content) > most:
            raise HttpError(f"the body of {url} is larger than {most} bytes")
        return Response(answer.status, answer.getheaders(), content, url)
    except (DeniedError, HttpError, TimeoutError):
        raise
    except (http.client.HTTPException, OSError) as error:
        raise HttpError(f"{url}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _proxy(scheme: str, host: str) -> Any:
    """Where connections to ``host`` go instead, by the variables that most programs know."""
    import os
    import urllib.parse

    proxy = os.environ.get(f"{scheme}_proxy")
    if not proxy:
        return None
    for name in os.environ.get("no_proxy", "").split(","):
        name = name.strip().lstrip(".").lower()
        if name and (name == "*" or host == name or host.endswith("." + name)):
            return None
    return urllib.parse.urlsplit(proxy)


def _unpacked(content: bytes, encoding: str, most: int, url: str) -> bytes:
    """A body as it was before it was packed; at most one byte more than ``most``."""
    kinds = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
    if not content or encoding.lower() not in kinds:
        return content
    import zlib

    for window in kinds[encoding.lower()]:
        try:
            return zlib.decompressobj(window).decompress(content, most + 1)
        except zlib.error as error:
            failure = error
    raise HttpError(f"the body of {url} is not what it says it is, {encoding}: {failure}")


def get(url: str, headers: Mapping[str, str] | None = None, **options: Any) -> Response:
    """GET; options as for :func:`request`."""
    return request("GET", url, headers=headers, **options)


def post(
    url: str, json: Any = None, data: Any = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Response:
    """POST; options as for :func:`request`."""
    return request("POST", url, json=json, data=data, headers=headers, **options)


def put(
    url: str, json: Any = None, data: Any = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Response:
    """PUT; options as for :func:`request`."""
    return request("PUT", url, json=json, data=data, headers=headers, **options)


def patch(
    url: str, json: Any = None, data: Any = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Response:
    """PATCH; options as for :func:`request`."""
    return request("PATCH", url, json=json, data=data, headers=headers, **options)


def delete(url: str, headers: Mapping[str, str] | None = None, **options: Any) -> Response:
    """DELETE; options as for :func:`request`."""
    return request("DELETE", url, headers=headers, **options)


def head(url: str, headers: Mapping[str, str] | None = None, **options: Any) -> Response:
    """HEAD; options as for :func:`request`."""
    return request("HEAD", url, headers=headers, **options)
