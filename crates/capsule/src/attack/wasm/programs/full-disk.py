import os

from capsule import task

import probe


def fill(path):
    block = bytes(1 << 20)
    with open(path, "wb") as file:
        for _ in range(4096):
            file.write(block)


def sow(folder):
    for number in range(3_000_000):
        open(f"{folder}/{number}", "x").close()


def dig():
    path = "/tmp"
    for _ in range(100_000):
        path += "/d"
        os.mkdir(path)


@task(timeout="60s", compute="HIGH")
def main():
    probe.refused("4 GiB", lambda: fill("/tmp/large"))
    os.unlink("/tmp/large")
    # A hole takes no room, until it is filled.
    with open("/tmp/hole", "wb") as hole:
        hole.truncate(1 << 40)
        probe.refused("fill a hole", lambda: [hole.write(bytes(1 << 20)) for _ in range(4096)])
    os.unlink("/tmp/hole")
    probe.refused("files without end", lambda: sow("/tmp"))
    probe.refused("folders without end", dig)
    probe.refused("handles without end", lambda: [open("/tmp/0") for _ in range(200_000)])
    return probe.told()
