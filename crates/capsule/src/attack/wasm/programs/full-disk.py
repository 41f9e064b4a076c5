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
    probe.refused("a hole", lambda: [open("/tmp/hole", "wb").truncate(1 << 60)])
    probe.refused("write far out", lambda: os.pwrite(os.open("/tmp/far", os.O_CREAT | os.O_RDWR), b"x", 1 << 50))
    probe.refused("files without end", lambda: sow("/tmp"))
    probe.refused("folders without end", dig)
    probe.refused("handles without end", lambda: [open("/tmp/0") for _ in range(200_000)])
    return probe.told()
