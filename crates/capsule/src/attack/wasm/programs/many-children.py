from capsule import task


@task(ram="256MB", timeout="20s", compute="HIGH")
def child():
    block = bytearray(200 << 20)
    for place in range(0, len(block), 4096):
        block[place] = 1
    import time

    time.sleep(2)
    return 1


@task(ram="64MB", timeout="30s", compute="HIGH")
def main():
    waiting = [child.submit() for _ in range(12)]
    return [one.result() for one in waiting]
