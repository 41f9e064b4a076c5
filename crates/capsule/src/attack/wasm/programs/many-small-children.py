from capsule import task


@task(compute="HIGH")
def child():
    return sum(range(100_000))


@task(compute=400_000_000, timeout="60s")
def main():
    while True:
        child.map(range(8)) if False else [child.submit().result() for _ in range(8)]
