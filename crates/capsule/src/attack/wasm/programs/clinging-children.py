from capsule import task


@task(compute="HIGH")
def child():
    while True:
        pass


@task
def main():
    for _ in range(8):
        child.submit()
    return "gone"
