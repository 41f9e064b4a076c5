"""Memory for moments in which there is none left.

Whoever is refused memory gets a MemoryError, and can go on. Two places cannot: the
binding to the host, which aborts, and the end of a call, where the error has to be told.
"""

import traceback

#: Enough for an arena of small objects, and a little.
_KEPT = 320 * 1024

_kept: bytearray | None = bytearray(_KEPT)


def ensure(size: int) -> None:
    """MemoryError if the binding could not copy so many bytes."""
    bytearray(2 * size + 4096)


def keep() -> None:
    """When a call begins: puts something aside."""
    global _kept
    if _kept is None:
        try:
            _kept = bytearray(_KEPT)
        except MemoryError:
            pass


def give(error: BaseException) -> None:
    """When a call ends with this error: makes room to tell it."""
    global _kept
    _kept = None
    seen = set()
    one = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        # What the frames hold is needed no more; their places stay.
        traceback.clear_frames(one.__traceback__)
        one = one.__cause__ or one.__context__
