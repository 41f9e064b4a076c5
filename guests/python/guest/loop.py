"""asyncio on the host's operations.

The loop's selector is the list of pending operations. A loop that was started by
`asyncio.run` in a synchronous task waits inside the host. The loop of an `async def`
task never waits: when nothing is ready it returns to the host, and goes on when the
host calls again, maybe in another process.
"""

import asyncio
import asyncio.base_events
import asyncio.events
import dataclasses
import inspect
import socket
import time

from guest import operations, streams


class Deadlock(RuntimeError):
    """Everything waits, and nothing is there that could end it."""

    def __init__(self):
        super().__init__("deadlock: every coroutine waits for another one, nothing can wake them")


class _Selector:
    """Waits for operations, where a loop would wait for file descriptors."""

    def select(self, timeout):
        if timeout is None and not operations.pending():
            raise Deadlock
        if timeout or timeout is None or operations.pending():
            operations.poll(operations.nanoseconds(timeout))
        return ()

    def get_map(self):
        return {}

    def close(self):
        pass


class HostLoop(asyncio.base_events.BaseEventLoop):
    """An event loop without file descriptors, signals and threads."""

    def __init__(self):
        super().__init__()
        self._selector = _Selector()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass

    def close(self):
        super().close()
        self._selector.close()

    def turn(self, until) -> None:
        """Runs what is ready, until nothing is or `until` is done."""
        self._run_forever_setup()
        try:
            while not until.done() and self._is_ready():
                self._run_once()
        finally:
            self._run_forever_cleanup()

    def _is_ready(self) -> bool:
        if self._ready:
            return True
        return bool(self._scheduled) and self._scheduled[0]._when <= self.time() + self._clock_resolution

    def idle_for(self) -> int | None:
        """Nanoseconds until a timer is due; None if only operations can wake it."""
        if self._scheduled:
            return operations.nanoseconds(self._scheduled[0]._when - self.time())
        if not operations.pending():
            raise Deadlock
        return None

    # --- what other loops do with threads and sockets ---

    def run_in_executor(self, executor, func, *args):
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host, port, *, family=0, type=0, proto=0, flags=0):
        return socket.getaddrinfo(host, port, family, type, proto, flags)

    async def create_connection(self, protocol_factory, host=None, port=None, *, ssl=None, sock=None,
                                server_hostname=None, **options):
        return await streams.connect(self, protocol_factory, host, port, ssl, sock, server_hostname)

    async def start_tls(self, transport, protocol, sslcontext, *, server_hostname=None, **options):
        await transport.secure(sslcontext, server_hostname)
        transport.set_protocol(protocol)
        return transport


class _Policy(asyncio.events._BaseDefaultEventLoopPolicy):
    _loop_factory = HostLoop


def install() -> None:
    """Makes it the loop of asyncio."""
    asyncio.events._set_event_loop_policy(_Policy())
    asyncio.SelectorEventLoop = asyncio.DefaultEventLoop = HostLoop
    asyncio.EventLoop = HostLoop


# --- the one call that an instance may have under way ---


@dataclasses.dataclass(slots=True)
class Done:
    """The call returned."""

    value: object


@dataclasses.dataclass(slots=True)
class Waiting:
    """The call goes on when an operation is answered, or so much time has passed."""

    nanoseconds: int | None


State = Done | Waiting
_loop: HostLoop | None = None
_call: asyncio.Task | None = None


def begin(invoke) -> State:
    """Calls `invoke`; goes as far as it can."""
    global _loop, _call
    result = invoke()
    if not inspect.iscoroutine(result):
        return Done(result)
    _loop = HostLoop()
    asyncio.events.set_event_loop(_loop)
    _call = _loop.create_task(result)
    return resume()


def resume() -> State:
    """Goes on with the call, as far as it can."""
    global _loop, _call
    _loop.turn(_call)
    if not _call.done():
        return Waiting(_loop.idle_for())
    call, loop = _call, _loop
    _call = _loop = None
    try:
        return Done(call.result())
    finally:
        _wind_up(loop)


def run(coroutine):
    """Runs a coroutine to its end, waiting in the host."""
    with asyncio.Runner(loop_factory=HostLoop) as runner:
        return runner.run(coroutine)


def _wind_up(loop: HostLoop) -> None:
    """As asyncio.run does: whoever is still there is cancelled and heard."""
    try:
        left = asyncio.tasks.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.tasks.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.events.set_event_loop(None)
        loop.close()
