"""The first words of a native guest: it hears over its channel what it is made of, and becomes it.

Runs as ``python3 -c``. The first frame holds every module that Capsule brings; so
nothing of it lies in the jail as a file, and none of it can be meant by a program
that happens to have a module of the same name.
"""

import json
import os
import sys
from _frozen_importlib import ModuleSpec

CHANNEL = 3


def receive(fd):
    """One frame: four bytes of length, and JSON."""
    return json.loads(exactly(fd, int.from_bytes(exactly(fd, 4), "big")))


def exactly(fd, count):
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            # The host is gone, and so is the reason to be.
            os._exit(70)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class Bundle:
    """Finds the modules that Capsule brings."""

    def __init__(self, modules):
        self._modules = modules

    def find_spec(self, name, path=None, target=None):
        module = self._modules.get(name)
        if module is None:
            return None
        # A place that no program has: tracebacks leave out what is there.
        place = f"<capsule>/{name.replace('.', '/')}.py"
        spec = ModuleSpec(name, self, origin=place, is_package=module["is_package"])
        spec.has_location = True
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        source = self._modules[module.__name__]["source"]
        exec(compile(source, module.__spec__.origin, "exec", dont_inherit=True), module.__dict__)


os.set_inheritable(CHANNEL, False)
start = receive(CHANNEL)["start"]
sys.meta_path.insert(0, Bundle(start.pop("modules")))

from guest import app

app.main(CHANNEL, start)
