from wit_world.imports import host

from capsule import task
from guest import operations

import probe


@task
def child(*args, **kwargs):
    return [list(args), kwargs]


@task
def main():
    for text in ("", "null", "[]", "1", "{}", '{"args":1,"kwargs":2}', '{"args":[]}', "{" * 100_000, '"\\ud800"',
                 '{"args":{"a":1},"kwargs":[1]}', '{"args":[],"kwargs":{"1":', "\0", "NaN", "x" * 5_000_000):
        probe.refused(text[:20], lambda: operations.take(host.call("child", text)))
    probe.control("a call", lambda: child(1, a=2))
    return probe.told()
