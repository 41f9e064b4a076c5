from wit_world.imports import host

from capsule import task

import probe


ACTIONS = {
    "half a character": lambda: host.call("\ud800", "{}"),
    "a negative number": lambda: host.cancel(-1),
    "a number too large": lambda: host.wait([1 << 64], 0),
    "a time too large": lambda: host.wait([], 1 << 64),
    "another type": lambda: host.emit("1", "text"),
    "a port too large": lambda: host.connect("a", 1 << 16),
    "nothing": lambda: host.source(None),
    "another list": lambda: host.wait(["1"], 0),
}


@task
def child(what):
    ACTIONS[what]()


@task
def main():
    for what in ACTIONS:
        probe.refused(what, lambda: child(what))
    for channel in (0, 3, 255):
        host.emit(channel, b"strange channel\n")
    return probe.told()
