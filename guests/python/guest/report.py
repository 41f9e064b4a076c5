"""An exception as three texts: its type, its message, its traceback.

Everything here runs on objects that a hostile guest made, so nothing is trusted to work.
"""

import traceback

from guest import operations

# Where the files of this runtime lay when it was built.
_OURS = (__file__.rpartition("/guest/")[0] + "/", "<python>", "/python/")
_MOST = 64 * 1024


def text(said: str) -> str:
    """What can cross the wall: half a character is written as its number."""
    return said if said.isascii() else said.encode("utf-8", "backslashreplace").decode()


def of(error: BaseException) -> tuple[str, str, str]:
    """Kind, message, traceback."""
    kind, message, told = _of(error)
    return text(kind), text(message), text(told)


def _of(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, operations.HostFailure):
        return error.kind, error.message, error.detail
    try:
        kind = str(type(error).__qualname__)
        if isinstance(error, SystemExit):
            return "SystemExit", _exit_message(error.code), ""
    except Exception:
        kind = "Exception"
    try:
        message = str(error)[:_MOST]
    except Exception:
        message = f"<{kind} without a message>"
    try:
        text = _text(error)
    except Exception:
        text = ""
    return kind, message, text


def _exit_message(code) -> str:
    if code is None or isinstance(code, int):
        return f"the task called exit({'' if code is None else int(code)})"
    return str(code)[:_MOST]


def _text(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, limit=60, compact=True)
    _prune(told)
    text = "".join(told.format())
    return text if len(text) <= _MOST else text[: _MOST // 2] + "\n  …\n" + text[-_MOST // 2 :]


def _prune(told: traceback.TracebackException) -> None:
    """Leaves out the frames of this runtime: the user wrote none of them."""
    seen = set()
    todo = [told]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OURS)]
        todo += [one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())]
