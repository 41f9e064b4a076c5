from capsule import task


@task(timeout="2s", compute="HIGH")
def main():
    return len(str(7 ** (7**9)))
