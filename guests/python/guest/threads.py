"""Thread pools without threads: what is submitted runs at once, in the caller.

A pool's user cannot tell, but for the time it takes. Threads that are started by
hand stay an error (RuntimeError: can't start new thread): many wait for each other.
"""

import concurrent.futures
import concurrent.futures.thread


def submit(self, fn, /, *args, **kwargs):
    """Runs `fn` now; the future that comes back has ended."""
    future = concurrent.futures.Future()
    if self._shutdown:
        raise RuntimeError("cannot schedule new futures after shutdown")
    future.set_running_or_notify_cancel()
    try:
        future.set_result(fn(*args, **kwargs))
    except Exception as error:
        future.set_exception(error)
    return future


def install() -> None:
    """Replaces ThreadPoolExecutor.submit."""
    concurrent.futures.thread.ThreadPoolExecutor.submit = submit
