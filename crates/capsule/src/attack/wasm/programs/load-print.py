from wit_world.imports import host

from capsule import task

for _ in range(1_000_000):
    host.emit(1, b"")
    host.emit(2, b"")


@task
def main():
    return 1
