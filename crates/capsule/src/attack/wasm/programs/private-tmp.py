import os

from capsule import task

import probe


@task
def main():
    probe.expect("it is empty", os.listdir("/tmp") == [], os.listdir("/tmp"))
    with open("/tmp/capsule-attack-private-tmp", "w") as file:
        file.write("here")
    return probe.told()
