from wit_world.imports import host

from capsule import task
from guest import operations

import probe


@task
def main():
    for number in (0, 1, 2, 3, 7, 1000, 1 << 32, (1 << 64) - 1):
        host.close(number)
        for what, action in {
            "send": lambda: host.send(number, b"x" * 1000),
            "receive": lambda: host.receive(number, (1 << 32) - 1),
            "secure": lambda: host.secure(number, "127.0.0.1", False),
        }.items():
            probe.refused(f"{what} {number}", lambda: operations.take(action(), 2))
    probe.refused("connect", lambda: operations.take(host.connect("127.0.0.1", @PORT@), 2))
    probe.refused("connect to nowhere", lambda: operations.take(host.connect("", 0), 2))
    probe.refused("connect far", lambda: operations.take(host.connect("x" * 10_000_000, @PORT@), 2))
    return probe.told()
