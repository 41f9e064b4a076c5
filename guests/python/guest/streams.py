"""asyncio transports over the host's streams."""

import asyncio
import socket

from wit_world.imports import host as _host

from guest import operations, sockets, tls

_CHUNK = 64 * 1024
_MOST = 256 * 1024


def perform(loop, start, *arguments) -> asyncio.Future:
    """Begins an operation whose answer comes as a future; cancelling it cancels the operation."""
    future = loop.create_future()
    try:
        operation = operations.begin(start, *arguments)
    except operations.HostFailure as failure:
        raise sockets.os_error(failure) from None

    def answered(answer):
        if future.done():
            return
        try:
            future.set_result(operations.value(answer))
        except operations.HostFailure as failure:
            future.set_exception(sockets.os_error(failure))

    def ended(future):
        if future.cancelled():
            operations.forget(operation)

    operations.listen(operation, answered)
    future.add_done_callback(ended)
    return future


async def connect(loop, protocol_factory, host, port, ssl, sock, server_hostname):
    """What `loop.create_connection` promises."""
    if sock is not None:
        peer = sock.getpeername()
        stream = sock.detach_stream()
    else:
        if host is None or port is None:
            raise ValueError("host and port was not specified and no sock specified")
        [(_, _, _, _, peer)] = sockets.getaddrinfo(host, port)
        stream = int.from_bytes(await perform(loop, _host.connect, peer[0], peer[1]), "little")
    transport = HostTransport(loop, stream, peer)
    try:
        if ssl:
            await transport.secure(ssl, server_hostname or peer[0])
    except BaseException:
        transport.abort()
        raise
    protocol = protocol_factory()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not transport.is_paused_by_protocol:
        transport.resume_reading()
    return transport, protocol


class HostTransport(asyncio.Transport):
    """Bytes in order, both ways; TLS is the host's."""

    def __init__(self, loop, stream: int, peer) -> None:
        super().__init__()
        self._loop = loop
        self._stream = stream
        self._protocol = None
        self._reading: asyncio.Future | None = None
        self._paused = True
        self.is_paused_by_protocol = False
        #: What came while nobody wanted to read.
        self._kept = b""
        self._is_at_end = False
        self._queue: list[bytes] = []
        self._size = 0
        self._high, self._low = _CHUNK, _CHUNK // 4
        self._is_full = False
        self._sending = False
        self._ends = False
        self._closing = False
        self._extra.update(peername=peer, sockname=("0.0.0.0", 0), socket=_Asked(self, stream))

    async def secure(self, context, name) -> None:
        """Makes it TLS."""
        verify = True if context is True else context.is_verifying()
        was_reading = self._stop_reading()
        await perform(self._loop, _host.secure, self._stream, sockets.plain_name(name), verify)
        self._extra["ssl_object"] = tls.Secured(name, None if context is True else context)
        self._extra["sslcontext"] = context
        if was_reading:
            self.resume_reading()

    def _stop_reading(self) -> bool:
        if self._reading is None:
            return False
        self._reading.cancel()
        self._reading = None
        return True

    def set_protocol(self, protocol):
        self._protocol = protocol

    def get_protocol(self):
        return self._protocol

    def is_closing(self):
        return self._closing

    # --- reading ---

    def is_reading(self):
        return not self._paused and not self._closing

    def pause_reading(self):
        self._paused = self.is_paused_by_protocol = True

    def resume_reading(self):
        self._paused = self.is_paused_by_protocol = False
        if self._kept:
            kept, self._kept = self._kept, b""
            self._loop.call_soon(self._deliver, kept)
        self._read()

    def _read(self):
        if self._reading is None and not self._closing and not self._is_at_end and not self._kept:
            try:
                self._reading = perform(self._loop, _host.receive, self._stream, _CHUNK)
            except OSError as error:
                self._lost(error)
                return
            self._reading.add_done_callback(self._received)

    def is_readable(self) -> bool:
        """Whether bytes, the end or an error are there."""
        if self._kept or self._is_at_end or self._closing:
            return True
        self._read()
        reading = self._reading
        if reading is None:
            return True
        if not reading.done():
            operations.poll(0)
        return reading.done()

    def _received(self, future):
        if future.cancelled() or future is not self._reading:
            return
        self._reading = None
        if self._closing:
            return
        if future.exception() is not None:
            self._lost(future.exception())
        elif data := future.result():
            if self._paused:
                self._kept = data
            else:
                self._deliver(data)
                if not self._paused:
                    self._read()
        else:
            self._is_at_end = True
            if not self._protocol.eof_received():
                self.close()

    def _deliver(self, data):
        if self._closing:
            return
        if not isinstance(self._protocol, asyncio.BufferedProtocol):
            self._protocol.data_received(data)
            return
        while data:
            buffer = self._protocol.get_buffer(len(data))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            data = data[size:]
            self._protocol.buffer_updated(size)

    # --- writing ---

    def write(self, data):
        if self._ends:
            raise RuntimeError("Cannot call write() after write_eof()")
        if data and not self._closing:
            self._queue.append(data if isinstance(data, tls.Handshake) else bytes(data))
            self._size += len(data)
            self._flush()
            if self._size > self._high and not self._is_full:
                self._is_full = True
                self._protocol.pause_writing()

    def writelines(self, lines):
        self.write(b"".join(lines))

    def can_write_eof(self):
        return True

    def write_eof(self):
        self._ends = True
        self._flush()

    def get_write_buffer_size(self):
        return self._size

    def get_write_buffer_limits(self):
        return self._low, self._high

    def set_write_buffer_limits(self, high=None, low=None):
        if high is None:
            high = _CHUNK if low is None else 4 * low
        self._high, self._low = high, high // 4 if low is None else low

    def _flush(self):
        if self._sending or self._stream is None:
            return
        if self._queue and isinstance(self._queue[0], tls.Handshake):
            self._sending = True
            mark = self._queue.pop(0)
            self._size -= len(mark)
            self._loop.create_task(self._shake(mark))
        elif self._queue:
            data = self._next()
            try:
                sent = perform(self._loop, _host.send_latin, self._stream, str(data, "latin-1"))
            except OSError as error:
                self._lost(error)
                return
            self._sending = len(data)
            sent.add_done_callback(self._sent)
        elif self._closing:
            self._lost(None)
        elif self._ends is True:
            self._ends = "told"
            perform(self._loop, _host.send, self._stream, b"").add_done_callback(asyncio.Future.exception)

    def _next(self) -> bytes:
        """As much of the queue as one operation may take."""
        size = count = 0
        for piece in self._queue:
            if isinstance(piece, tls.Handshake) or (count and size + len(piece) > _MOST):
                break
            size += len(piece)
            count += 1
        data = b"".join(self._queue[:count])
        del self._queue[:count]
        if len(data) > _MOST:
            self._queue.insert(0, data[_MOST:])
            data = data[:_MOST]
        return data

    async def _shake(self, mark):
        self._stop_reading()
        try:
            await perform(self._loop, _host.secure, self._stream, sockets.plain_name(mark.name), mark.verify)
        except OSError as error:
            mark.error = error
        mark.is_over = True
        self._sending = False
        self._deliver(tls.SHAKEN)
        if not self._paused:
            self._read()
        self._flush()

    def _sent(self, future):
        size, self._sending = self._sending, False
        self._size -= size
        if not future.cancelled() and future.exception() is not None:
            self._lost(future.exception())
            return
        self._flush()
        if self._is_full and self._size <= self._low:
            self._is_full = False
            self._protocol.resume_writing()

    # --- ending ---

    def close(self):
        if not self._closing:
            self._closing = True
            self._stop_reading()
            self._flush()

    def abort(self):
        self._lost(None)

    def _lost(self, error):
        self._closing = True
        self._queue.clear()
        self._stop_reading()
        if self._stream is not None:
            _host.close(self._stream)
            self._stream = None
            if self._protocol is not None:
                self._loop.call_soon(self._protocol.connection_lost, error)


class _Asked:
    """What `get_extra_info("socket")` answers: enough to ask whether the connection is alive."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = 6

    def __init__(self, transport, stream) -> None:
        self._transport = transport
        self._number = 1_000_000 + stream
        sockets.register(self._number, self)

    def fileno(self):
        return -1 if self._transport._stream is None else self._number

    def is_readable(self, seconds=0.0):
        return self._transport.is_readable()

    def getpeername(self):
        return self._transport.get_extra_info("peername")

    def getsockname(self):
        return self._transport.get_extra_info("sockname")

    def setsockopt(self, *args):
        pass

    def getsockopt(self, *args):
        return 0

    def gettimeout(self):
        return 0.0
