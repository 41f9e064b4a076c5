from capsule import task


@task(compute="HIGH")
def child():
    while True:
        pass


@task(compute=100_000_000, timeout="60s")
def main():
    while True:
        try:
            child()
        except BaseException:
            pass
