import re

from capsule import task


@task(timeout="300ms", compute="HIGH")
def main():
    return bool(re.match(r"(a|aa)+$" * 3, "a" * 60 + "b"))
