from capsule import task

import probe


@task
def child(name):
    raise type(name, (Exception,), {})("forged")


@task
def main():
    for name in ("Timeout", "FuelExhausted", "Crashed", "Cancelled", "CapsuleError", "Denied"):
        probe.refused(name, lambda: child(name))
    return probe.told()
