from capsule import task


@task(ram="64 monkeys")
def main():
    return 1
