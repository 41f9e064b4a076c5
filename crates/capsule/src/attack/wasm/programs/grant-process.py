import os

from capsule import task

import probe


@task(allowed_files=["granted"])
def plant():
    for name, target in {"p": "/proc/self/root", "f": "/proc/self/fd", "u": "../../outside"}.items():
        try:
            os.symlink(target, f"/granted/{name}")
        except OSError:
            pass
    return sorted(os.listdir("/granted"))


@task(allowed_files=["granted/p"])
def process():
    return os.listdir("/granted/p")


@task(allowed_files=["granted/f"])
def descriptors():
    return os.listdir("/granted/f")


@task(allowed_files=["granted/u"])
def up():
    return probe.read("/granted/u/secret")


@task
def main():
    probe.expect("it is there", True, plant())
    for child in (process, descriptors, up):
        probe.refused(child.name, child)
    return probe.told()
