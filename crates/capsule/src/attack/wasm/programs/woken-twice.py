from guest import layer

from capsule import task


@task(timeout="20s")
def main():
    layer.wake(1_000_000)
    raise ValueError("it lived")
