from wit_world.imports import host

from capsule import task
from guest import operations

import probe


@task
def child():
    return 1


@task
def main():
    names = ["", " child", "child ", "CHILD", "child\0", "chi\nld", "../child", "probe.read", "__import__", "os.system",
             "child\u200b", "сhild", "c" * 300, "c" * 30_000_000, "{}", "main()"]
    for name in names:
        probe.refused(repr(name[:20]), lambda: operations.take(host.call(name, '{"args":[],"kwargs":{}}')))
    probe.control("a declared name", child)
    return probe.told()
