from capsule import task

import probe


def tower(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


VALUES = {
    "nan": lambda: float("nan"),
    "infinity": lambda: [float("-inf")],
    "bytes": lambda: b"\0",
    "set": lambda: {1},
    "number key": lambda: {1: 2},
    "tuple key": lambda: {(1,): 2},
    "object": object,
    "function": lambda: len,
    "class": lambda: int,
    "complex": lambda: 1j,
    "module": lambda: probe,
    "deep": lambda: tower(2_000),
    "half a character": lambda: "\ud800",
    "half a character as key": lambda: {"\udc00": 1},
    "a number too long to print": lambda: 10**100_000,
}


@task
def child(name):
    return VALUES[name]()


@task
def echo(value):
    return value


@task
def main():
    for name in VALUES:
        probe.refused(name, lambda: child(name))
    for name in ("nan", "bytes", "half a character"):
        probe.refused(f"{name} as argument", lambda: echo(VALUES[name]()))
    large = 12345678901234567890123456789012345678901234567890
    probe.expect("large numbers stay exact", echo(large) == large and echo([-large]) == [-large])
    probe.expect("floats stay exact", echo(0.1 + 0.2) == 0.1 + 0.2 and echo(5e-324) == 5e-324)
    probe.expect("text stays exact", echo("a\0\x1b\u2028\ufeff\U0001f600\"\\") == "a\0\x1b\u2028\ufeff\U0001f600\"\\")
    return probe.told()
