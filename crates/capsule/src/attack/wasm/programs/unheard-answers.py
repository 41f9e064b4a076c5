from wit_world.imports import host

from capsule import task


@task
def child(size):
    return "x" * size


@task(ram="64MB", timeout="20s", compute="HIGH")
def main():
    kept = []
    size = 1 << 20
    while True:
        # Past the runtime's own checks, which make room first.
        operation = host.call("child", '{"args": [%d], "kwargs": {}}' % size)
        kept.append(host.wait([operation], None))
