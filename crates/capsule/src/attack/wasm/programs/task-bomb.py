from capsule import task


@task(compute="HIGH")
def fork():
    return [one.result() for one in (fork.submit(), fork.submit())]


@task(compute=600_000_000, timeout="30s")
def main():
    while True:
        try:
            fork()
        except Exception:
            pass
