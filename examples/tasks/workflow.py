"""A workflow: parallel sub-tasks, a retry that helps, a timeout, a denied host and file.

    capsule run examples/tasks/workflow.py

Each call of a task runs in a sandbox of its own. `--verbose` tells what happens.
"""

import time

from capsule import TaskError, http, task


@task(compute="LOW", ram="64MB")
def count_primes(low: int, high: int) -> int:
    """Primes in a range, slowly, so that there is something to share out."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(low, 2), high))


@task(compute="LOW", ram="64MB", max_retries=5)
def fetch(ready_at: float) -> str:
    """Stands for a service that is not up yet: the first attempts fail."""
    if time.time() < ready_at:
        raise ConnectionError("not up yet")
    return "the service answered"


@task(compute="LOW", ram="64MB", timeout="300ms")
def endless() -> None:
    while True:
        pass


@task(compute="LOW", ram="64MB", allowed_hosts=["api.example.com"])
def curious() -> str:
    return http.get("http://example.org/").text()


@task(compute="LOW", ram="64MB")
def burglar() -> str:
    with open("/etc/passwd") as file:
        return file.read()


def attempt(call, *arguments) -> str:
    """What came of a call."""
    try:
        return call(*arguments)
    except TaskError as error:
        return str(error)


@task(name="main")
def main() -> int:
    started = [count_primes.submit(low, low + 2500) for low in range(0, 20_000, 2500)]
    primes = sum(call.result() for call in started)
    print(f"{primes} primes below 20000, counted by {len(started)} sandboxes")
    print("retry:", attempt(fetch, time.time() + 0.25))
    print("timeout:", attempt(endless))
    print("host:", attempt(curious))
    print("file:", attempt(burglar))
    return primes
