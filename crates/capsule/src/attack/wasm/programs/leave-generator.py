from capsule import task

import probe


class Other(BaseException):
    pass


@task
def child(which):
    raise (GeneratorExit, Other, StopIteration, StopAsyncIteration, BaseExceptionGroup("g", [Other()]))[which] if which < 4 \
        else BaseExceptionGroup("g", [Other()])


@task
async def later(which):
    raise (GeneratorExit, Other, StopIteration, KeyboardInterrupt, SystemExit)[which]


@task
async def main():
    for which in range(5):
        probe.refused(f"child {which}", lambda: child.submit(which).result())
        probe.refused(f"async child {which}", lambda: later.submit(which).result())
    return probe.told()
