from capsule import task

import probe


class Meta(type):
    def __getattribute__(cls, name):
        if "name" in name:
            raise RuntimeError("no name")
        return type.__getattribute__(cls, name)


def raise_mute():
    class Mute(Exception):
        def __str__(self):
            raise self

        __repr__ = __str__

    raise Mute


def raise_nameless():
    raise Meta("Nameless", (Exception,), {})()


def raise_long():
    raise type("L" * 10_000_000, (Exception,), {})("m" * 20_000_000)


def raise_circle():
    one, other = ValueError(1), ValueError(2)
    one.__cause__, other.__cause__ = other, one
    raise one


def raise_group():
    error = ValueError("deep")
    for _ in range(5000):
        error = ExceptionGroup("g", [error])
    raise error


def raise_notes():
    error = ValueError("notes")
    error.__notes__ = ["n" * 1_000_000] * 50
    raise error


def raise_bytes():
    raise type("B", (Exception,), {"__str__": lambda self: b"bytes", "__module__": 7})()


def raise_surrogate():
    raise ValueError("\ud800\0")


def raise_lying():
    raise type("Lying", (Exception,), {"__class__": property(lambda self: KeyboardInterrupt)})("x")


def raise_chain():
    error = None
    for number in range(100_000):
        following = ValueError(number)
        following.__context__ = error
        error = following
    raise error


HOW = {name: action for name, action in globals().items() if name.startswith("raise_")}


@task(timeout="20s")
def child(name):
    HOW[name]()


@task(timeout="60s")
def main():
    for name in HOW:
        probe.refused(name, lambda: child(name))
    return probe.told()
