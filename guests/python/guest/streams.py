"""asyncio transports over the host's streams."""

import asyncio

from wit_world.imports import host as _host

from guest import operations, sockets

_CHUNK = 64 * 1024


def perform(loop, start, *arguments) -> asyncio.Future:
    """Begins an operation whose answer comes as a future; cancelling it cancels the operation."""
    future = loop.create_future()
    operation = operations.begin(start, *arguments)

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
        stream = sock.detach_stream()
    else:
        stream = int.from_bytes(await perform(loop, _host.connect, str(host), int(port)), "little")
    transport = HostTransport(loop, stream, (host, port))
    try:
        if ssl:
            await transport.secure(ssl, server_hostname or host)
    except BaseException:
        transport.abort()
        raise
    protocol = protocol_factory()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    transport.resume_reading()
    return transport, protocol


class HostTransport(asyncio.Transport):
    """Bytes in order, both ways; TLS is the host's."""

    def __init__(self, loop, stream: int, peer) -> None:
        super().__init__({"peername": peer, "socket": None})
        self._loop = loop
        self._stream = stream
        self._protocol = None
        self._reading: asyncio.Future | None = None
        self._paused = True
        self._queue: list[bytes] = []
        self._sending = False
        self._closing = False

    async def secure(self, context, name) -> None:
        """Makes it TLS."""
        verify = True if context is True else context.is_verifying()
        was_reading = self._reading
        if was_reading is not None:
            was_reading.cancel()
            self._reading = None
        await perform(self._loop, _host.secure, self._stream, name or "", verify)
        self._extra["ssl_object"] = sockets.Secured(name)
        if was_reading is not None:
            self.resume_reading()

    def set_protocol(self, protocol):
        self._protocol = protocol

    def get_protocol(self):
        return self._protocol

    def is_closing(self):
        return self._closing

    def is_reading(self):
        return not self._paused

    def pause_reading(self):
        self._paused = True

    def resume_reading(self):
        self._paused = False
        if self._reading is None and not self._closing:
            self._reading = perform(self._loop, _host.receive, self._stream, _CHUNK)
            self._reading.add_done_callback(self._received)

    def _received(self, future):
        if future.cancelled() or self._closing:
            return
        self._reading = None
        if future.exception() is not None:
            self._lost(future.exception())
        elif data := future.result():
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                while data:
                    buffer = self._protocol.get_buffer(len(data))
                    size = min(len(buffer), len(data))
                    buffer[:size] = data[:size]
                    data = data[size:]
                    self._protocol.buffer_updated(size)
            else:
                self._protocol.data_received(data)
            if not self._paused:
                self.resume_reading()
        elif not self._protocol.eof_received():
            self.close()

    def write(self, data):
        if data and not self._closing:
            self._queue.append(bytes(data))
            self._flush()

    def writelines(self, lines):
        self.write(b"".join(lines))

    def can_write_eof(self):
        return False

    def get_write_buffer_size(self):
        return sum(map(len, self._queue))

    def _flush(self):
        if self._sending or self._stream is None:
            return
        if self._queue:
            self._sending = True
            data, self._queue = b"".join(self._queue), []
            perform(self._loop, _host.send, self._stream, data).add_done_callback(self._sent)
        elif self._closing:
            self._lost(None)

    def _sent(self, future):
        self._sending = False
        if not future.cancelled() and future.exception() is not None:
            self._lost(future.exception())
        else:
            self._flush()

    def close(self):
        if not self._closing:
            self._closing = True
            if self._reading is not None:
                self._reading.cancel()
            self._flush()

    def abort(self):
        self._closing = True
        self._lost(None)

    def _lost(self, error):
        self._closing = True
        if self._stream is not None:
            _host.close(self._stream)
            self._stream = None
            if self._protocol is not None:
                self._loop.call_soon(self._protocol.connection_lost, error)
