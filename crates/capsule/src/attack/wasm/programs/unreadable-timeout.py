from capsule import task


@task(timeout="1")
def main():
    return 1
