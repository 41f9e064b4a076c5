from guest.app import WitWorld

from capsule import task


@task(timeout="20s")
def main():
    WitWorld().wake(1_000_000)
    raise ValueError("it lived")
