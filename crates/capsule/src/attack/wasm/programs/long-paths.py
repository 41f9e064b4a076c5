import os

from capsule import task

import probe

PATHS = ["a" * 100_000, "/granted" + "/." * 50_000 + "/../private", "/granted/" + "../" * 100_000 + "private",
         "/tmp/" + "d/" * 200_000, "/" * 10_000_000 + "private", "x" * 10_000_000]


@task(allowed_files=["granted"], timeout="20s")
def child(number):
    return probe.read(PATHS[number])


@task(allowed_files=["granted"], timeout="20s")
def make(number):
    return os.makedirs(PATHS[number])


@task
def main():
    for number in range(len(PATHS)):
        probe.refused(f"read {number}", lambda: child(number))
    probe.refused("link", lambda: make(1))
    return probe.told()
