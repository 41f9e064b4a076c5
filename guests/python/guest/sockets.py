"""TCP client sockets over the host's streams.

Names are not resolved here: the host resolves them, checks the name and every
address against the policy, and connects. So `getaddrinfo` answers with the name.
"""

import errno
import io
import os
import socket as _socket
import time

from componentize_py_types import Err
from wit_world.imports import host as _host

from capsule.errors import DeniedError
from guest import operations

_CHUNK = 64 * 1024
_ERRORS = {
    "ConnectionRefused": (ConnectionRefusedError, errno.ECONNREFUSED),
    "ConnectionReset": (ConnectionResetError, errno.ECONNRESET),
    "TimedOut": (TimeoutError, errno.ETIMEDOUT),
}


def os_error(failure: operations.HostFailure) -> Exception:
    """The exception that programs expect."""
    if failure.kind == "Denied":
        return DeniedError(failure.message)
    if failure.kind == "NameNotFound":
        return _socket.gaierror(_socket.EAI_NONAME, failure.message)
    if failure.kind == "Tls":
        import ssl

        return ssl.SSLCertVerificationError(1, failure.message)
    kind, number = _ERRORS.get(failure.kind, (OSError, errno.EIO))
    return kind(number, failure.message)


def _take(start, arguments, seconds):
    try:
        operation = operations.begin(start, *arguments)
        try:
            return operations.take(operation, seconds)
        except TimeoutError:
            operations.forget(operation)
            raise
    except operations.HostFailure as failure:
        raise os_error(failure) from None


class Secured:
    """What is known of a TLS connection that the host made."""

    def __init__(self, name):
        self.server_hostname = name

    def getpeercert(self, binary_form=False):
        return b"" if binary_form else {"subjectAltName": (("DNS", self.server_hostname),)}

    def selected_alpn_protocol(self):
        return None

    def version(self):
        return "TLSv1.3"

    def cipher(self):
        return None


class Socket:
    """A TCP client. Looks like `socket.socket`, and offers what clients call."""

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if fileno is not None:
            raise OSError(errno.ENOTSUP, "sockets are not files here")
        self.family = _socket.AF_INET if family == -1 else family
        self.type = _socket.SOCK_STREAM if type == -1 else type
        self.proto = max(proto, 0)
        if self.type & 0xF != _socket.SOCK_STREAM or self.family not in (_socket.AF_INET, _socket.AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, "only TCP connections can be made from a sandbox")
        self._stream = None
        self._peer = None
        self._timeout = _socket.getdefaulttimeout()
        self._secured = None
        self._buffer = b""
        self._files = 0
        self._is_closed = False

    # --- connecting ---

    def connect(self, address):
        name, port = address[0], address[1]
        if isinstance(name, bytes):
            name = name.decode("idna")
        answer = _take(_host.connect, (str(name), int(port)), self._timeout)
        self._stream = int.from_bytes(answer, "little")
        self._peer = (name, port)

    def connect_ex(self, address):
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def secure(self, name, verify):
        """Makes it TLS, spoken by the host."""
        _take(_host.secure, (self._open(), name or "", verify), self._timeout)
        self._secured = Secured(name)
        return self

    def detach_stream(self):
        """Gives the stream away."""
        stream, self._stream = self._open(), None
        return stream

    def _open(self):
        if self._stream is None:
            raise OSError(errno.ENOTCONN if not self._is_closed else errno.EBADF, "the socket is not connected")
        return self._stream

    # --- bytes ---

    def send(self, data, flags=0):
        data = memoryview(data).cast("B")[:_CHUNK]
        _take(_host.send, (self._open(), bytes(data)), self._timeout)
        return len(data)

    def sendall(self, data, flags=0):
        data = memoryview(data).cast("B")
        for start in range(0, len(data), _CHUNK):
            _take(_host.send, (self._open(), bytes(data[start : start + _CHUNK])), self._timeout)

    def sendfile(self, file, offset=0, count=None):
        file.seek(offset)
        sent = 0
        while data := file.read(_CHUNK if count is None else min(_CHUNK, count - sent)):
            self.sendall(data)
            sent += len(data)
        return sent

    def recv(self, size, flags=0):
        if size == 0:
            return b""
        if not self._buffer:
            self._buffer = _take(_host.receive, (self._open(), max(size, _CHUNK)), self._timeout)
        data, kept = self._buffer[:size], self._buffer[size:]
        if not flags & getattr(_socket, "MSG_PEEK", 2):
            self._buffer = kept
        return data

    def recv_into(self, buffer, nbytes=0, flags=0):
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def makefile(self, mode="r", buffering=None, *, encoding=None, errors=None, newline=None):
        raw = _File(self, mode)
        self._files += 1
        if buffering == 0:
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering in (None, -1) else buffering
        if "r" in mode and "w" in mode:
            file = io.BufferedRWPair(raw, raw, size)
        elif "w" in mode:
            file = io.BufferedWriter(raw, size)
        else:
            file = io.BufferedReader(raw, size)
        return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

    # --- ending ---

    def _file_closed(self):
        self._files -= 1
        if self._is_closed:
            self.close()

    def close(self):
        self._is_closed = True
        if self._files <= 0 and self._stream is not None:
            _host.close(self._stream)
            self._stream = None

    def shutdown(self, how):
        pass

    def detach(self):
        return -1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __del__(self):
        try:
            self.close()
        except Exception:
            pass

    # --- what clients ask and set ---

    def fileno(self):
        return -1 if self._stream is None else 1_000_000 + self._stream

    def settimeout(self, seconds):
        if seconds is not None and seconds < 0:
            raise ValueError("Timeout value out of range")
        self._timeout = seconds

    def gettimeout(self):
        return self._timeout

    timeout = property(gettimeout)

    def setblocking(self, flag):
        self._timeout = None if flag else 0.0

    def getblocking(self):
        return self._timeout != 0.0

    def getpeername(self):
        self._open()
        return self._peer

    def getsockname(self):
        return ("0.0.0.0", 0)

    def setsockopt(self, *args):
        pass

    def getsockopt(self, *args):
        return 0

    def bind(self, address):
        if address[1]:
            raise PermissionError(errno.EACCES, "a sandbox cannot listen")

    def listen(self, backlog=0):
        raise PermissionError(errno.EACCES, "a sandbox cannot listen")

    accept = listen

    # --- what ssl.SSLSocket adds ---

    def getpeercert(self, binary_form=False):
        return self._secured and self._secured.getpeercert(binary_form)

    def selected_alpn_protocol(self):
        return None

    selected_npn_protocol = selected_alpn_protocol

    def version(self):
        return self._secured and self._secured.version()

    def cipher(self):
        return None

    def unwrap(self):
        return self

    def pending(self):
        return len(self._buffer)

    @property
    def context(self):
        import ssl

        return ssl.create_default_context()

    def __repr__(self):
        return f"<socket to {self._peer}>"


class _File(io.RawIOBase):
    """The raw file under `makefile`."""

    def __init__(self, sock, mode):
        self._sock = sock
        self._mode = mode

    def readable(self):
        return "r" in self._mode or "w" not in self._mode

    def writable(self):
        return "w" in self._mode

    def readinto(self, buffer):
        return self._sock.recv_into(buffer)

    def write(self, data):
        return self._sock.send(data)

    def fileno(self):
        return self._sock.fileno()

    def close(self):
        if not self.closed:
            super().close()
            self._sock._file_closed()


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    """The name itself: the host resolves it when it connects."""
    if isinstance(host, bytes):
        host = host.decode("idna")
    if isinstance(port, str):
        port = {"http": 80, "https": 443}.get(port) or int(port)
    kind = type or _socket.SOCK_STREAM
    is_v6 = ":" in (host or "")
    if is_v6:
        return [(_socket.AF_INET6, kind, 6, "", (host, port or 0, 0, 0))]
    return [(_socket.AF_INET, kind, 6, "", (host or "localhost", port or 0))]


def create_connection(address, timeout=_socket._GLOBAL_DEFAULT_TIMEOUT, source_address=None, *, all_errors=False):
    """A connected socket."""
    sock = Socket()
    if timeout is not _socket._GLOBAL_DEFAULT_TIMEOUT:
        sock.settimeout(timeout)
    sock.connect(address)
    return sock


def _not_here(*args, **kwargs):
    raise OSError(errno.ENOTSUP, "only TCP connections can be made from a sandbox")


def install():
    """Makes them the sockets of the standard library."""
    _socket.socket = _socket.SocketType = Socket
    _socket.getaddrinfo = getaddrinfo
    _socket.create_connection = create_connection
    _socket.create_server = _socket.socketpair = _socket.fromfd = _not_here
    _socket.gethostbyname = lambda name: name
    _socket.gethostname = lambda: "capsule"
    _socket.getfqdn = lambda name="": name or "capsule"
    _socket.has_ipv6 = True
