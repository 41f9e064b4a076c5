import time

from wit_world.imports import host

from capsule import task

import probe


@task
def vandal():
    for number in [*range(3000), 1 << 32, (1 << 64) - 1]:
        host.cancel(number)
        host.close(number)
    return [len(host.wait(list(range(3000)), 0)), len(host.wait([], 0))]


@task
def worker(number):
    time.sleep(0.2)
    return number


@task
def main():
    working = [worker.submit(number) for number in range(8)]
    for events in vandal.map([]) or [vandal() for _ in range(4)]:
        probe.expect("events of others", events == [0, 0], events)
    values = [one.result() for one in working]
    probe.expect("the others went on", values == list(range(8)), values)
    return probe.told()
