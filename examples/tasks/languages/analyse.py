"""The half of a project that is in Python: statistics. `capsule run analyse.py` runs it alone."""

import statistics

from capsule import task, task_of

bar = task_of("main", "bar")


@task
def summary(numbers: list[float]) -> dict:
    return {"mean": statistics.mean(numbers), "median": statistics.median(numbers)}


@task
def histogram(numbers: list[int]) -> list[str]:
    counts = [[number, numbers.count(number)] for number in sorted(set(numbers))]
    return bar.map(counts)                  # tasks in TypeScript, in parallel


@task(name="main")
def main() -> dict:
    return summary([1, 2, 3, 10])
