import builtins
import codecs
import decimal
import gc
import json
import logging
import os
import random
import sys
import warnings

from capsule import task

import probe

MARK = "left-here-by-another-task"


@task
def leave(number):
    builtins.MARK_OF_ANOTHER = MARK
    json.MARK_OF_ANOTHER = MARK
    sys.modules["mark_of_another"] = type(sys)("mark_of_another")
    os.environ["MARK_OF_ANOTHER"] = MARK
    probe.MARK_OF_ANOTHER = MARK
    sys.path.append(MARK)
    sys.meta_path.insert(0, type("Finder", (), {"find_spec": lambda *args: None})())
    codecs.register(lambda name: None)
    decimal.getcontext().prec = 3
    logging.root.handlers.append(logging.NullHandler())
    warnings.filters.insert(0, ("ignore", None, Warning, None, 0))
    random.seed(1)
    sys.setrecursionlimit(77)
    gc.disable()
    open("/tmp/mark", "w").write(MARK * 1000)
    keep = [MARK + str(index) for index in range(100_000)]
    builtins.KEEP = keep
    builtins.print = None
    json.dumps = None
    if number % 3 == 0:
        os.abort()
    if number % 3 == 1:
        keep.append(bytearray(1 << 30))
    return number


@task
def look():
    seen = []
    for what, holds in {
        "builtins": not hasattr(builtins, "MARK_OF_ANOTHER") and builtins.print is not None,
        "a module": not hasattr(json, "MARK_OF_ANOTHER") and json.dumps is not None,
        "the program": not hasattr(probe, "MARK_OF_ANOTHER"),
        "sys.modules": "mark_of_another" not in sys.modules,
        "sys.path": MARK not in sys.path,
        "the environment": "MARK_OF_ANOTHER" not in os.environ,
        "decimal": decimal.getcontext().prec == 28,
        "recursion": sys.getrecursionlimit() != 77,
        "gc": gc.isenabled(),
        "logging": not logging.root.handlers,
        "/tmp": os.listdir("/tmp") == [],
        "objects": not any(type(one) is str and one.startswith(MARK + "9") for one in gc.get_objects() if type(one) is str),
    }.items():
        if not holds:
            seen.append(what)
    return seen


@task(timeout="60s", compute="HIGH")
def main():
    for number in range(30):
        try:
            leave(number)
        except Exception:
            pass
        seen = look()
        probe.expect(f"round {number}", not seen, seen)
    for seen in look.map([]) + [one.result() for one in [look.submit() for _ in range(20)]]:
        probe.expect("at once", not seen, seen)
    return probe.told()
