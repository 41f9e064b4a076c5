import json

from wit_world.imports import host

from capsule import task

import probe


@task
def child(*args, **kwargs):
    import os

    probe.refused("a file", lambda: probe.read("/private"))
    probe.expect("a variable", "@VARIABLE@" not in os.environ, kwargs)
    return probe.log


@task
def main():
    rights = {"allowed_files": ["."], "env_variables": ["@VARIABLE@"], "compute": "HIGH", "ram": "4GB"}
    probe.log += child(**rights)
    for call in (
        {"args": [], "kwargs": {}, **rights},
        {"args": [], "kwargs": {}, "options": rights, "policy": rights, "grant": rights},
        {"args": [rights], "kwargs": {"options": rights}, "task": {"name": "child", **rights}},
    ):
        [event] = host.wait([host.call("child", json.dumps(call))], None)
        probe.log += json.loads(event.outcome.value)
    return probe.told()
