import os
import shutil

from capsule import task

import probe


@task(allowed_files=[{"path": "fixed", "mode": "ro"}])
def main():
    probe.expect("control", probe.read("/fixed/file") == "as it was")
    descriptor = os.open("/fixed/file", os.O_RDONLY)
    for what, action in {
        "write": lambda: open("/fixed/file", "w"),
        "append": lambda: open("/fixed/file", "a"),
        "update": lambda: open("/fixed/file", "r+"),
        "create": lambda: open("/fixed/new", "x"),
        "truncate": lambda: os.truncate("/fixed/file", 0),
        "ftruncate": lambda: os.ftruncate(descriptor, 0),
        "write to a reader": lambda: os.write(descriptor, b"owned"),
        "unlink": lambda: os.unlink("/fixed/file"),
        "rename away": lambda: os.rename("/fixed/file", "/tmp/file"),
        "rename inside": lambda: os.rename("/fixed/file", "/fixed/new"),
        "move": lambda: shutil.move("/fixed/file", "/tmp/moved"),
        "replace": lambda: os.replace("/fixed/file", "/fixed/new"),
        "mkdir": lambda: os.mkdir("/fixed/folder"),
        "rmdir": lambda: os.rmdir("/fixed/empty"),
        "rmtree": lambda: shutil.rmtree("/fixed"),
        "symlink": lambda: os.symlink("/etc", "/fixed/link"),
        "link": lambda: os.link("/fixed/file", "/fixed/link"),
        "link out": lambda: os.link("/fixed/file", "/tmp/link"),
        "times": lambda: os.utime("/fixed/file", (0, 0)),
        "times of an open file": lambda: os.utime(descriptor, (0, 0)),
        "mode": lambda: os.chmod("/fixed/file", 0o777) or os.chmod("/fixed/file", 0o600),
    }.items():
        if what == "mode":
            continue  # WASI has no modes: Python's chmod does nothing there.
        probe.refused(what, action)
    return probe.told()
