import os
import time

from capsule import task

import probe


@task
def sibling(name):
    for path in ("/tmp/meeting", "/meeting", "meeting"):
        try:
            with open(path, "x") as file:
                file.write(name)
        except OSError:
            pass
    os.environ["MEETING"] = name
    probe.MEETING = name
    time.sleep(0.3)
    return [open("/tmp/meeting").read(), os.environ["MEETING"], probe.MEETING, os.listdir("/tmp")]


@task
def main():
    names = [f"sibling-{number}" for number in range(10)]
    for name, seen in zip(names, sibling.map(names)):
        probe.expect(name, seen == [name, name, name, ["meeting"]], seen)
    probe.expect("the parent", os.listdir("/tmp") == [] and "MEETING" not in os.environ and not hasattr(probe, "MEETING"))
    return probe.told()
