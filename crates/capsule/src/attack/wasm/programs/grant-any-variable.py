import os

from capsule import task

import probe


@task(env_variables=["*", "CAPSULE_*", ".*", "%", "@VARIABLE@ ", " @VARIABLE@", "capsule_attack_secret"])
def child():
    probe.expect("variables", not os.environ, sorted(os.environ))
    return probe.log


@task
def main():
    probe.log += child()
    probe.expect("its own", not os.environ, sorted(os.environ))
    return probe.told()
