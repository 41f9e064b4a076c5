import os

from capsule import task

import probe


@task(allowed_files=["granted"], timeout="20s")
def main():
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        for name in ("pipe", "socket"):
            probe.refused(f"{name} {flags}", lambda: os.open(f"/granted/{name}", flags))
    probe.refused("make a pipe", lambda: os.mkfifo("/granted/another"))
    probe.refused("make a device", lambda: os.mknod("/granted/device", 0o20666, 259))
    return probe.told()
