"""What every program of the suite has at hand: it tries things, and keeps a list."""

log = []


def _text(value):
    try:
        return str(value)[:300]
    except BaseException:
        return type(value).__name__


def refused(what, action):
    """The action must raise."""
    try:
        value = action()
    except BaseException as error:
        log.append([what, "held", f"{type(error).__name__}: {_text(error)}"])
    else:
        log.append([what, "through", repr(value)[:300]])


def expect(what, holds, evidence=""):
    """Must hold."""
    log.append([what, "held" if holds else "through", _text(evidence)])


def control(what, action):
    """The action must work, or the attempt means nothing."""
    try:
        return action()
    except BaseException as error:
        log.append([what, "missed", f"{type(error).__name__}: {_text(error)}"])


def read(path):
    with open(path, "rb") as file:
        return file.read(4096).decode("utf-8", "replace")


def told():
    return {"log": log[-200:], "end": True}
