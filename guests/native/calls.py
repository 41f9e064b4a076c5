"""Tasks that call tasks. In CPython any thread may wait for an answer, and any event loop."""

from wit_world.imports import host

from capsule.errors import TaskError
from guest import values
from guest.channel import Channel, TooLarge

_CANCELLED = {"failure": {"kind": "Cancelled", "message": "the call was cancelled", "detail": ""}}


class Submission:
    """A call under way."""

    def __init__(self, name: str, args, kwargs) -> None:
        self._name = name
        given = values.encode({"args": list(args), "kwargs": kwargs}, f"the call of {name}")
        # JSON in JSON may need two bytes for one.
        if len(given) > Channel.MOST // 2:
            raise TooLarge(f"the call of {name}", len(given))
        self._number, self._answer = host.call(name, given)

    def _value(self):
        told = self._answer.value
        failure = told.get("failure")
        if failure is None:
            return values.decode(told["value"])
        raise TaskError.told(self._name, failure["kind"], failure["message"], failure["detail"])

    def result(self, timeout: float | None = None):
        if not self._answer.wait(timeout):
            raise TimeoutError("timed out")
        return self._value()

    def done(self) -> bool:
        return self._answer.is_here()

    def cancel(self) -> bool:
        if not self._answer.settle(_CANCELLED):
            return False
        host.cancel(self._number)
        return True

    def __await__(self):
        if not self._answer.is_here():
            import asyncio

            loop = asyncio.get_running_loop()
            waits = loop.create_future()

            def wake():
                if not waits.done():
                    waits.set_result(None)

            def answered():
                try:
                    loop.call_soon_threadsafe(wake)
                except RuntimeError:
                    # The loop has ended, and so has the wait.
                    pass

            self._answer.listen(answered)
            try:
                yield from waits
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self._value()


async def _awaited(submission: Submission):
    return await submission


class GuestRuntime:
    """Calls of tasks, inside a jail."""

    def call(self, name, function, args, kwargs):
        return Submission(name, args, kwargs).result()

    def submit(self, name, function, args, kwargs) -> Submission:
        return Submission(name, args, kwargs)

    def submit_async(self, name, function, args, kwargs):
        """For `async def` tasks: begun at once, to be awaited."""
        return _awaited(Submission(name, args, kwargs))
