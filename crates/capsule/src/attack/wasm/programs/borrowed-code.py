import os

from guest import program

from capsule import task

import probe


@task(env_variables=["@VARIABLE@"], allowed_files=["."])
def rich():
    probe.refused("a file", lambda: probe.read("/private"))
    probe.expect("a variable", "@VARIABLE@" not in os.environ, sorted(os.environ))
    return probe.log


@task
def poor():
    return []


# In every sandbox that loads this, the poor one's name leads to the rich one's code.
program._tasks["poor"].function = program._tasks["rich"].function


@task
def main():
    probe.log += poor()
    probe.refused("in its own sandbox", lambda: [rich.function(), probe.read("/private")])
    return probe.told()
