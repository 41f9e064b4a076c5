"""Tasks that call tasks: each call is an operation of the host, in a sandbox of its own."""

import asyncio

from wit_world.imports import host

from capsule.errors import CapsuleError, TaskError
from guest import operations, values


def _begin(name, args, kwargs) -> int:
    given = values.encode({"args": list(args), "kwargs": kwargs}, f"the call of {name}")
    try:
        return operations.begin(host.call, name, given)
    except operations.HostFailure as failure:
        raise _error(name, failure) from None


def _error(name: str, failure: operations.HostFailure) -> CapsuleError:
    return TaskError.told(name, failure.kind, failure.message, failure.detail)


class Submission:
    """A call under way."""

    def __init__(self, name: str, args, kwargs) -> None:
        self._name = name
        self._operation = _begin(name, args, kwargs)
        self._answer: operations.Answer | None = None
        self._waits: asyncio.Future | None = None

    def _value(self):
        try:
            return values.decode(operations.value(self._answer))
        except operations.HostFailure as failure:
            raise _error(self._name, failure) from None

    def result(self, timeout: float | None = None):
        if self._answer is None:
            try:
                self._answer = (operations.take(self._operation, timeout), None)
            except operations.HostFailure as failure:
                self._answer = (None, failure)
        return self._value()

    def done(self) -> bool:
        return self._answer is not None or operations.answered(self._operation)

    def cancel(self) -> bool:
        if self.done():
            return False
        operations.forget(self._operation)
        gone = type("Gone", (), {"kind": "Cancelled", "message": "the call was cancelled", "detail": ""})
        self._answer = (None, gone)
        return True

    def __await__(self):
        if self._answer is None and operations.answered(self._operation):
            self.result(0)
        if self._answer is None:
            waits = asyncio.get_running_loop().create_future()

            def answered(answer):
                self._answer = answer
                if not waits.done():
                    waits.set_result(None)

            operations.listen(self._operation, answered)
            try:
                yield from waits
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self._value()


async def _awaited(submission: Submission):
    return await submission


class GuestRuntime:
    """Calls of tasks, inside a sandbox."""

    def call(self, name, function, args, kwargs):
        return Submission(name, args, kwargs).result()

    def submit(self, name, function, args, kwargs) -> Submission:
        return Submission(name, args, kwargs)

    def submit_async(self, name, function, args, kwargs):
        """For `async def` tasks: begun at once, to be awaited."""
        return _awaited(Submission(name, args, kwargs))
