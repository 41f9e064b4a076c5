from capsule import task


@task(timeout="100ms", max_retries=2, compute="HIGH")
def main():
    while True:
        pass
