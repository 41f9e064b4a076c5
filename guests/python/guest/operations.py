"""Operations that the host performs: begun here, answered by events.

The one place where this guest can wait. A synchronous wait blocks in the host's
`wait`; an asynchronous one returns to the host, which calls `advance`. Between two
calls of the host nothing of this is on a stack: it is data, and can be saved.
"""

from collections.abc import Callable

from componentize_py_types import Err, Ok
from wit_world.imports import host

from guest import room

#: An answer: the bytes, or the host's failure.
Answer = tuple[bytes | None, object | None]

#: Where an answer is so large that its arrival is worth to be told.
_LARGE = 16 * 1024

_answers: dict[int, Answer] = {}
_listeners: dict[int, Callable[[Answer], None]] = {}


class HostFailure(Exception):
    """The host refused an operation, or it failed."""

    def __init__(self, failure):
        super().__init__(failure.message)
        self.kind = failure.kind
        self.message = failure.message
        self.detail = failure.detail


def nanoseconds(seconds: float | None) -> int | None:
    """As the host counts; a time that is too long to be told is the longest that can be."""
    return None if seconds is None else max(0, int(min(seconds, 9e9) * 1e9))


def arrived(speaker) -> None:
    """Tells the host that its last answer is in memory: from here on a refusal of more can be told."""
    speaker.cancel(0)


def begin(start: Callable[..., int], *arguments) -> int:
    """Begins an operation: its number."""
    for argument in arguments:
        if isinstance(argument, (bytes, str)):
            is_plain = isinstance(argument, bytes) or argument.isascii()
            room.ensure(len(argument) if is_plain else 4 * len(argument))
    try:
        return start(*arguments)
    except Err as error:
        raise HostFailure(error.value) from None


def listen(operation: int, listener: Callable[[Answer], None]) -> None:
    """Has `listener` called with the answer, when it comes."""
    _listeners[operation] = listener


def forget(operation: int) -> None:
    """Nobody waits for this operation any more."""
    _listeners.pop(operation, None)
    _answers.pop(operation, None)
    host.cancel(operation)


def deliver(events) -> None:
    """Hands answers to those who wait for them."""
    if any(isinstance(event.outcome, Ok) and len(event.outcome.value) > _LARGE for event in events):
        arrived(host)
    for event in events:
        outcome = event.outcome
        answer = (outcome.value, None) if isinstance(outcome, Ok) else (None, outcome.value)
        listener = _listeners.pop(event.id, None)
        if listener is not None:
            listener(answer)
        else:
            _answers[event.id] = answer


def pending() -> bool:
    """Whether anybody waits for an operation."""
    return bool(_listeners)


def poll(nanoseconds: int | None) -> None:
    """Waits until any operation has an answer, at most for so long."""
    deliver(host.wait([], nanoseconds))


def pause(nanoseconds: int) -> None:
    """Waits for time alone: answers that come meanwhile stay with the host."""
    host.wait([0], nanoseconds)


def answered(operation: int, seconds: float | None = 0) -> bool:
    """Whether the answer is there, or comes within so many seconds."""
    if operation not in _answers:
        deliver(host.wait([operation], nanoseconds(seconds)))
    return operation in _answers


def take(operation: int, seconds: float | None = None) -> bytes:
    """Waits for one operation; TimeoutError after so many seconds, the operation then goes on."""
    if operation not in _answers:
        deliver(host.wait([operation], nanoseconds(seconds)))
        if operation not in _answers:
            raise TimeoutError("timed out")
    return value(_answers.pop(operation))


def value(answer: Answer) -> bytes:
    """The bytes of an answer, or its failure raised."""
    data, failure = answer
    if failure is not None:
        raise HostFailure(failure)
    return data
