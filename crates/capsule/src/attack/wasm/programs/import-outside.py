import importlib
import importlib.util
import sys

from wit_world.imports import host

from capsule import task

import probe


def _from(path):
    spec = importlib.util.spec_from_file_location("stolen", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SECRET


@task(allowed_files=["granted"])
def main():
    probe.control("control", lambda: host.source("probe").source)
    for name in ("leak", "..outside.secret", ".outside.secret", "granted.out.secret", "outside.secret", "....etc.passwd"):
        probe.refused(name, lambda: importlib.import_module(name, "probe").SECRET)
    for name in ("@OUTSIDE@/secret", "/etc/passwd", "../outside/secret", "..", ".", "...", "a..b", "granted/out/secret",
                 "leak", "leak\0", "\0", "private", ".env", "granted.control", "main.py", "x" * 10_000, "a." * 400 + "a",
                 "granted.out.secret", "proc.self.environ", "~", "$HOME", "*"):
        probe.expect(f"source {name[:40]!r}", host.source(name) is None, name[:40])
    sys.path[:0] = ["@OUTSIDE@", "/granted/out", "/proc/self/root@OUTSIDE@"]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    probe.refused("sys.path", lambda: importlib.import_module("secret").SECRET)
    probe.__path__ = ["@OUTSIDE@", "/granted/out", "..", "/"]
    for name in ("probe.secret", "probe.private", "probe.outside.secret"):
        probe.refused(name, lambda: importlib.import_module(name).SECRET)
    probe.refused("a loader", lambda: _from("@OUTSIDE@/secret.py"))
    probe.refused("a loader through a link", lambda: _from("/granted/out/secret.py"))
    return probe.told()
