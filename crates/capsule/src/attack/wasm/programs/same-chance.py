import os
import random
import secrets
import uuid

from capsule import task

import probe


@task
def draw():
    return [random.random(), secrets.token_hex(16), str(uuid.uuid4()), os.urandom(16).hex(), random.SystemRandom().random()]


@task
def main():
    drawn = [one.result() for one in [draw.submit() for _ in range(24)]]
    drawn += [draw(), draw()]
    for place in range(5):
        values = [one[place] for one in drawn]
        probe.expect(f"drawn {place}", len(set(values)) == len(values), values[:3])
    return probe.told()
