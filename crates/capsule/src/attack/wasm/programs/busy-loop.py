from capsule import task


@task(timeout="300ms", compute="HIGH")
def main():
    while True:
        pass
