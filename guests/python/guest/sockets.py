"""TCP client sockets over the host's streams.

Names are not resolved here: the host resolves them, checks the name and every
address against the policy, and connects. So `getaddrinfo` answers with the name.
"""

import errno
import io
import select as _select
import selectors
import socket as _socket
import urllib.error
import urllib.request
import weakref

from wit_world.imports import host as _host

from capsule.errors import DeniedError
from guest import operations
from guest.tls import SHAKEN, Handshake, Secured

_CHUNK = 64 * 1024
_MOST = 256 * 1024
_ERRORS = {
    "BrokenPipe": (BrokenPipeError, errno.EPIPE),
    "Closed": (OSError, errno.EBADF),
    "ConnectionRefused": (ConnectionRefusedError, errno.ECONNREFUSED),
    "ConnectionReset": (ConnectionResetError, errno.ECONNRESET),
    "TimedOut": (TimeoutError, errno.ETIMEDOUT),
    "TooLarge": (OSError, errno.EDQUOT),
    "TooMany": (OSError, errno.EMFILE),
    "Unreachable": (OSError, errno.EHOSTUNREACH),
}


def os_error(failure: operations.HostFailure) -> Exception:
    """The exception that programs expect."""
    if failure.kind == "Denied":
        return DeniedError(failure.message)
    if failure.kind == "NameNotFound":
        return _socket.gaierror(_socket.EAI_NONAME, failure.message)
    if failure.kind in ("Tls", "Certificate"):
        import ssl

        kind = ssl.SSLError if failure.kind == "Tls" else ssl.SSLCertVerificationError
        return kind(1, failure.message)
    kind, number = _ERRORS.get(failure.kind, (OSError, errno.EIO))
    return kind(number, failure.message)


def _begin(start, *arguments) -> int:
    try:
        return operations.begin(start, *arguments)
    except operations.HostFailure as failure:
        raise os_error(failure) from None


def _take(operation: int, seconds: float | None) -> bytes:
    try:
        return operations.take(operation, seconds)
    except operations.HostFailure as failure:
        raise os_error(failure) from None


def _perform(seconds, start, *arguments) -> bytes:
    """Begins and waits; after so many seconds it is given up."""
    operation = _begin(start, *arguments)
    try:
        return _take(operation, seconds)
    except TimeoutError:
        operations.forget(operation)
        raise


def plain_name(name) -> str:
    """A host as the interface takes it: text in ASCII."""
    if name is None:
        return ""
    if isinstance(name, (bytes, bytearray)):
        name = bytes(name).decode("ascii")
    if not isinstance(name, str):
        raise TypeError(f"a host is text, not {type(name).__name__}")
    return name if name.isascii() else name.encode("idna").decode("ascii")


def plain_port(port) -> int:
    """A port as the interface takes it."""
    port = int(port)
    if not 0 <= port <= 65535:
        raise OverflowError("port must be 0-65535")
    return port


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
        self._buffer = memoryview(b"")
        #: A receive that is under way: it outlives a timeout, so that no byte is lost.
        self._receiving = None
        self._is_at_end = False
        self._files = 0
        self._is_closed = False

    # --- connecting ---

    def connect(self, address):
        if self._stream is not None:
            raise OSError(errno.EISCONN, "the socket is connected")
        name, port = plain_name(address[0]), plain_port(address[1])
        answer = _perform(self._timeout or None, _host.connect, name, port)
        self._stream = int.from_bytes(answer, "little")
        self._peer = (name, port)
        _sockets[self.fileno()] = self

    def connect_ex(self, address):
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def secure(self, name, verify, context=None):
        """Makes it TLS, spoken by the host."""
        if self._receiving is not None:
            operations.forget(self._receiving)
            self._receiving = None
        name = plain_name(name)
        _perform(self._timeout or None, _host.secure, self._open(), name, verify)
        self._secured = Secured(name, context)
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
        if isinstance(data, Handshake):
            return self._shake(data)
        data = memoryview(data).cast("B")[:_MOST]
        if data:
            _perform(self._timeout or None, _host.send_latin, self._open(), str(data, "latin-1"))
        return len(data)

    def sendall(self, data, flags=0):
        if isinstance(data, Handshake):
            self._shake(data)
            return
        data = memoryview(data).cast("B")
        for start in range(0, len(data), _MOST):
            _perform(self._timeout or None, _host.send_latin, self._open(), str(data[start : start + _MOST], "latin-1"))

    def _shake(self, mark: Handshake) -> int:
        try:
            self.secure(mark.name, mark.verify)
        except OSError as error:
            mark.error = error
        mark.is_over = True
        self._buffer = memoryview(SHAKEN)
        return len(mark)

    def sendfile(self, file, offset=0, count=None):
        file.seek(offset)
        sent = 0
        while data := file.read(_MOST if count is None else min(_MOST, count - sent)):
            self.sendall(data)
            sent += len(data)
        return sent

    def _fill(self, size):
        """Waits until bytes are there, or the end."""
        if self._buffer or self._is_at_end:
            return
        if self._receiving is None:
            self._receiving = _begin(_host.receive, self._open(), min(max(size, _CHUNK), _MOST))
        try:
            data = _take(self._receiving, self._timeout)
        except TimeoutError as error:
            if self._timeout == 0.0:
                raise BlockingIOError(errno.EAGAIN, "no data is there yet") from None
            if error.errno is not None:
                self._receiving = None
            raise
        except BaseException:
            self._receiving = None
            raise
        self._receiving = None
        self._buffer = memoryview(data)
        self._is_at_end = not data

    def is_readable(self, seconds=0.0):
        """Whether `recv` would not wait."""
        if self._buffer or self._is_at_end or self._stream is None:
            return True
        if self._receiving is None:
            try:
                self._receiving = _begin(_host.receive, self._stream, _CHUNK)
            except OSError:
                return True
        return operations.answered(self._receiving, seconds)

    def recv(self, size, flags=0):
        if size == 0:
            return b""
        self._fill(size)
        data = bytes(self._buffer[:size])
        if not flags & getattr(_socket, "MSG_PEEK", 2):
            self._buffer = self._buffer[size:]
        return data

    read = recv

    def recv_into(self, buffer, nbytes=0, flags=0):
        view = memoryview(buffer).cast("B")
        size = nbytes or len(view)
        if size == 0:
            return 0
        self._fill(size)
        size = min(size, len(self._buffer))
        view[:size] = self._buffer[:size]
        if not flags & getattr(_socket, "MSG_PEEK", 2):
            self._buffer = self._buffer[size:]
        return size

    def write(self, data):
        return self.send(data)

    def recvfrom(self, size, flags=0):
        return self.recv(size, flags), self._peer

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
            if self._receiving is not None:
                operations.forget(self._receiving)
                self._receiving = None
            _host.close(self._stream)
            self._stream = None

    def shutdown(self, how):
        if how != _socket.SHUT_RD:
            # To send nothing is to end what is sent.
            _perform(self._timeout or None, _host.send, self._open(), b"")

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

    def __getattr__(self, name):
        secured = self.__dict__.get("_secured")
        if secured is None or name.startswith("__"):
            raise AttributeError(f"'socket' object has no attribute {name!r}")
        return getattr(secured, name)

    def do_handshake(self, block=False):
        """The host has done it."""

    def unwrap(self):
        return self

    def pending(self):
        return len(self._buffer)

    def __repr__(self):
        return f"<socket to {self._peer}>"


#: Connected sockets by their number, for those who ask by number.
_sockets = weakref.WeakValueDictionary()


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
    host = plain_name(host)
    if isinstance(port, (str, bytes)):
        port = port.decode() if isinstance(port, bytes) else port
        port = {"http": 80, "https": 443}.get(port) or int(port)
    port = plain_port(port or 0)
    kind = type or _socket.SOCK_STREAM
    if ":" in host:
        return [(_socket.AF_INET6, kind, 6, "", (host, port, 0, 0))]
    return [(_socket.AF_INET, kind, 6, "", (host or "localhost", port))]


def create_connection(address, timeout=_socket._GLOBAL_DEFAULT_TIMEOUT, source_address=None, *, all_errors=False):
    """A connected socket."""
    sock = Socket(_socket.AF_INET6 if ":" in plain_name(address[0]) else _socket.AF_INET)
    if timeout is not _socket._GLOBAL_DEFAULT_TIMEOUT:
        sock.settimeout(timeout)
    sock.connect(address)
    return sock


def register(number: int, asked) -> None:
    """Lets `select` find something that has `is_readable`."""
    _sockets[number] = asked


def _asked(file):
    number = file if isinstance(file, int) else file.fileno()
    asked = _sockets.get(number)
    if asked is None:
        raise OSError(errno.EBADF, "only sockets of this sandbox can be selected")
    return asked


def _readable(files, seconds):
    """Those of `files` that can be read now, or after at most so many seconds."""
    ready = [file for file in files if _asked(file).is_readable()]
    if ready or not files or seconds == 0:
        return ready
    if len(files) == 1:
        return [file for file in files if _asked(file).is_readable(seconds)]
    # Any event may be one of theirs, and then they are asked again.
    import time

    until = None if seconds is None else time.monotonic() + seconds
    while not ready:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            break
        operations.poll(operations.nanoseconds(left))
        ready = [file for file in files if _asked(file).is_readable()]
    return ready


def select(rlist, wlist, xlist, timeout=None):
    """As `select.select`: what is to be written can always be written."""
    writable = list(wlist)
    return _readable(list(rlist), 0 if writable else timeout), writable, []


class Poll:
    """As `select.poll`."""

    def __init__(self):
        self._masks = {}

    def register(self, file, eventmask=1 | 4):
        self._masks[file if isinstance(file, int) else file.fileno()] = eventmask

    modify = register

    def unregister(self, file):
        del self._masks[file if isinstance(file, int) else file.fileno()]

    def poll(self, timeout=None):
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        read = [number for number, mask in self._masks.items() if mask & _select.POLLIN]
        write = [number for number, mask in self._masks.items() if mask & _select.POLLOUT]
        readable, writable, _ = select(read, write, [], seconds)
        events = {number: _select.POLLOUT for number in writable}
        for number in readable:
            events[number] = events.get(number, 0) | _select.POLLIN
        return list(events.items())


class DeniedUrl(urllib.error.URLError, DeniedError):
    """A denial, for those who expect the errors of urllib."""

    def __str__(self):
        return str(self.reason)


def _plain_denials(do_open):
    def opened(self, *args, **kwargs):
        try:
            return do_open(self, *args, **kwargs)
        except urllib.error.URLError as error:
            if isinstance(error.reason, DeniedError):
                raise DeniedUrl(error.reason) from None
            raise

    return opened


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
    _select.select, _select.poll = select, Poll
    selectors.SelectSelector._select = staticmethod(select)
    if hasattr(selectors, "PollSelector"):
        selectors.PollSelector._selector_cls = Poll
    handler = urllib.request.AbstractHTTPHandler
    handler.do_open = _plain_denials(handler.do_open)
