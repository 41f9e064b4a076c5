from capsule import task

import probe


class Fickle(str):
    seen = 0

    def _next(self):
        Fickle.seen += 1
        return "granted" if Fickle.seen % 2 else "../outside"

    def __str__(self):
        return self._next()

    __repr__ = __fspath__ = __format__ = __str__

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash("path")


class Path:
    def __fspath__(self):
        return Fickle("granted")


@task(allowed_files=[Path(), Fickle("granted"), {"path": Fickle("granted"), "mode": "ro"}])
def child():
    probe.expect("control", probe.read("/granted/control") == "control")
    for path in ("/outside/secret", "/../outside/secret", "/granted/../../outside/secret", "/granted/out/secret"):
        probe.refused(path, lambda: probe.read(path))
    return probe.log


@task
def main():
    probe.log += child()
    return probe.told()
