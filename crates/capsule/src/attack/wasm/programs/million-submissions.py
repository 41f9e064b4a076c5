from capsule import task


@task
def child(number):
    return number


@task(compute=3_000_000_000, timeout="30s")
def main():
    return len([child.submit(number) for number in range(1_000_000)])
