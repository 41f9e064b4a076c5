import sys

from capsule import task


@task
def main():
    sys.exit(0)
