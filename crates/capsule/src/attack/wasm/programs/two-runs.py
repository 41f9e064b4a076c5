import builtins
import os

from capsule import task

import probe


@task
def main():
    probe.expect("/tmp", os.listdir("/tmp") == [], os.listdir("/tmp"))
    probe.expect("memory", not hasattr(builtins, "LEFT"))
    builtins.LEFT = True
    with open("/tmp/left", "w") as file:
        file.write("left")
    return probe.told()
