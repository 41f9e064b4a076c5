import os

from capsule import task

import probe

TARGETS = ["@OUTSIDE@", "@OUTSIDE@/secret", "../../outside", "../private", "../../outside/secret", "/etc/passwd",
           "/", "..", "../..", "/proc/self/root", "out/secret", "l0/secret", "./../private"]


@task(allowed_files=["granted"])
def plant():
    made = 0
    for number, target in enumerate(TARGETS):
        for link in (os.symlink, os.link):
            try:
                link(target, f"/granted/l{number}")
                made += 1
                break
            except OSError:
                pass
    return made


@task(allowed_files=["granted"])
def follow():
    probe.control("control", lambda: probe.read("/granted/control"))
    for name in sorted(os.listdir("/granted")):
        if name != "control":
            for tail in ("", "/secret", "/private", "/project/private", "/etc/passwd", "/../private"):
                path = f"/granted/{name}{tail}"
                probe.refused(path, lambda: probe.read(path))
                probe.refused(f"write {path}", lambda: open(path, "w").write("owned"))
    return probe.log


@task
def main():
    probe.expect("links made", True, plant())
    probe.log += follow()
    return probe.told()
