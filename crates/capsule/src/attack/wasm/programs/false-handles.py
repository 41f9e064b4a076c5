from wit_world.imports import preopens

from capsule import task

import probe


@task(timeout="20s")
def forge(number):
    [(descriptor, _)] = preopens.get_directories()
    names = [name for name in vars(descriptor) if "handle" in name] or ["handle"]
    for name in names:
        setattr(descriptor, name, number)
    with descriptor:
        pass
    del descriptor
    return [path for _, path in preopens.get_directories()]


@task(timeout="60s")
def main():
    for number in (0, 1, 2, 3, 100, 1 << 20, -1):
        try:
            seen = forge(number)
        except Exception as error:
            probe.expect(f"handle {number}", True, error)
        else:
            probe.expect(f"handle {number}", set(seen) <= {"/"}, seen)
    return probe.told()
