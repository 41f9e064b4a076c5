from capsule import task

for number in range(20_000):
    task(name=f"task-{number}")(lambda: None)


@task
def main():
    return 1
