from capsule import task


@task
def main():
    raise KeyboardInterrupt
