import os

from guest import program

from capsule import task

import probe

# Only the first load has a watched environment.
for_a_call = type(os.environ) is not program._WatchedEnvironment
rights = {"allowed_files": ["."], "env_variables": ["@VARIABLE@"]} if for_a_call else {}


@task(**rights)
def child():
    probe.refused("a file", lambda: probe.read("/private"))
    probe.expect("a variable", "@VARIABLE@" not in os.environ, sorted(os.environ))
    return probe.log


if for_a_call:

    @task(name="extra", allowed_files=["."])
    def extra():
        return probe.read("/private")


@task
def main():
    probe.log += child()
    probe.refused("extra", lambda: globals()["extra"]())
    return probe.told()
