"""What a guest may ask its host, by the names of the interface `capsule:guest/host`."""

from types import SimpleNamespace

#: Set before the first question.
channel = None
program = None


def _module(told):
    # Any bytes, as Latin-1: the source says itself what it is encoded in.
    return SimpleNamespace(path=told["path"], is_package=told["is_package"], source=told["source"].encode("latin-1"))


def source(name: str):
    """The source of a module of the program; the empty name is the program itself."""
    if not name:
        return _module(program)
    if not channel.is_mine():
        # What was not loaded before the fork is not to be had.
        return None
    _, answer = channel.ask("source", name=name)
    answer.wait()
    told = answer.value.get("module")
    return None if told is None else _module(told)


def call(task: str, arguments: str):
    """Begins a call of another task: its number, and where its answer will be."""
    return channel.ask("call", task=task, arguments=arguments)


def cancel(number: int) -> None:
    """Ends a call."""
    channel.forget(number)
