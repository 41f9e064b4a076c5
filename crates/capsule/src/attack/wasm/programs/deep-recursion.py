import ast
import json
import sys

from capsule import task

import probe


def again(level):
    return again(level + 1)


class Repr:
    def __repr__(self):
        return repr(self)


@task(timeout="20s")
def function():
    sys.setrecursionlimit(2**31 - 1)
    return again(0)


@task(timeout="20s")
def texts():
    sys.setrecursionlimit(2**31 - 1)
    return repr(Repr())


@task(timeout="20s")
def parser():
    return len(ast.dump(ast.parse("(" * 100_000 + ")" * 100_000)))


@task(timeout="20s")
def decoder():
    return len(json.loads("[" * 1_000_000 + "]" * 1_000_000))


@task(timeout="20s")
def nested():
    value = ()
    for _ in range(5_000_000):
        value = (value,)
    return hash(value)


@task(timeout="20s")
def compare():
    sys.setrecursionlimit(2**31 - 1)
    one, other = [], []
    one.append(one)
    other.append(other)
    return one == other


@task
def main():
    for child in (function, texts, parser, decoder, nested, compare):
        probe.refused(child.name, child)
    return probe.told()
