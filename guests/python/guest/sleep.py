"""time.sleep, waited for by the host, which can end it at any moment."""

import time
from operator import index

from guest import operations


def sleep(seconds, /):
    """Delay execution for a number of seconds; it may be a fraction."""
    nanoseconds = int((seconds if isinstance(seconds, float) else index(seconds)) * 1_000_000_000)
    if nanoseconds < 0:
        raise ValueError("sleep length must be non-negative")
    if nanoseconds >= 1 << 63:
        raise OverflowError("timestamp out of range for a time that can be waited for")
    until = time.monotonic_ns() + nanoseconds
    while (left := until - time.monotonic_ns()) > 0:
        operations.pause(left)


def install() -> None:
    """Replaces time.sleep."""
    time.sleep = sleep
