from capsule import task

import probe


@task
def deeper(level):
    return deeper(level + 1)


@task(compute=20_000_000_000, timeout="60s")
def main():
    probe.refused("sixteen levels", lambda: deeper(0))
    return probe.told()
