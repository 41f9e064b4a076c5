from wit_world.imports import host

from capsule import task


@task
def child():
    return 1


@task(timeout="30s", compute="HIGH", ram="128MB")
def main():
    large = "[" + "0" * 20_000_000
    for _ in range(60):
        host.call("child", large)
