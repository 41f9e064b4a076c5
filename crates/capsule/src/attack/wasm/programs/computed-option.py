from capsule import task

import probe

limit = "%dMB" % (8 * 8)


@task(ram=limit, compute="".join(["L", "OW"]), env_variables=[name for name in ()])
def child():
    import os

    blocks = []
    probe.refused("more memory", lambda: [blocks.append(bytearray(1 << 20)) for _ in range(500)])
    blocks.clear()
    probe.expect("variables", not os.environ)
    return probe.log


@task
def main():
    probe.log += child()
    return probe.told()
