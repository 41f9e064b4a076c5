from capsule import task


@task(timeout="300ms", compute="HIGH")
def main():
    return sum(range(10**15))
