from capsule import task


@task(timeout="50s", compute="HIGH")
def main():
    line = "x" * (1 << 20)
    for _ in range(200):
        print(line)
    return 1
