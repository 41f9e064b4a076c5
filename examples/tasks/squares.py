"""A task that calls another, three times at once: `capsule run squares.py`."""

from capsule import task


@task(compute="LOW", ram="64MB")
def square(n: int) -> int:
    return n * n


@task(name="main", compute="LOW", ram="64MB")
def main() -> list[int]:
    return square.map([1, 2, 3])
