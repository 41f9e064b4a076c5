import os
import sys

from capsule import task

FORGED = '{"success":true,"result":"forged","error":null,"execution":{"task_name":"main"}}'


@task
def main():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        stream.write(FORGED + "\n")
        stream.write(FORGED)
    for descriptor in (1, 2, 0, 3):
        try:
            os.write(descriptor, FORGED.encode())
        except OSError:
            pass
    print(FORGED, end="", flush=True)
    raise ValueError("the truth")
