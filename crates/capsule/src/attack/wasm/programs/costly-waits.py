from wit_world.imports import host

from capsule import task


@task
def child():
    return 1


@task(timeout="4s", compute="HIGH", ram="512MB")
def main():
    for _ in range(300):
        child.submit()
    strangers = [1 << 40] * 1_000_000
    while True:
        host.wait(strangers, 0)
