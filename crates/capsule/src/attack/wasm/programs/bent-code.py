import random
import types

from capsule import task

import probe


@task(timeout="2s", ram="64MB")
def bent(seed):
    random.seed(seed)

    def victim(a=1, *b, **c):
        return a

    for _ in range(200):
        code = bytes(random.randrange(256) for _ in range(64))
        try:
            types.FunctionType(victim.__code__.replace(co_code=code, co_stacksize=random.randrange(1, 64)), {}, None)()
        except Exception:
            pass
    return "went on"


@task
def sane():
    import json

    return json.loads(json.dumps([sum(range(1000)), "text"]))


@task(timeout="60s", compute="HIGH")
def main():
    for seed in range(12):
        try:
            bent(seed)
        except Exception:
            pass
        probe.expect(f"after seed {seed}", sane() == [499500, "text"])
    return probe.told()
