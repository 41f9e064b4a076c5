from capsule import task


@task(timeout="30s", ram="512MB", compute="HIGH")
def main():
    value = None
    for _ in range(5_000_000):
        value = [value]
    del value
    return 1
