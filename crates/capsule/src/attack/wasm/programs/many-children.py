import os
import time

from capsule import task

import probe


@task(ram="512MB", timeout="40s")
def child(number):
    # Grows without touching what it gets, so that the host need not really have it.
    file = os.open("/tmp/empty", os.O_CREAT | os.O_RDWR)
    grown = 0
    for _ in range(3):
        try:
            os.read(file, 400 << 20)
            grown = 400
        except MemoryError:
            pass
    time.sleep(3)
    return grown


@task(timeout="50s")
def main():
    grown = child.map(range(16))
    probe.expect("16 tasks have less than 16 times as much", sum(grown) < 16 * 400, grown)
    probe.expect("some have it", sum(grown) > 400, grown)
    return probe.told()
