import time

from capsule import task


@task(ram="256MB")
def child():
    return "x" * 30_000_000


@task(timeout="30s", compute="HIGH", ram="64MB")
def main():
    waiting = [child.submit() for _ in range(60)]
    time.sleep(15)
    return len(waiting)
