import glob
import os

from capsule import task

import probe


@task
def main():
    seen = [path for path in glob.glob("/**", recursive=True) if not path.startswith("/tmp")]
    probe.expect("the root", not set(seen) - {"/", ""}, seen)
    for path in ("/main.py", "/private", "/granted/control", "main.py", "@PROJECT@/main.py", __file__):
        probe.refused(path, lambda: probe.read(path))
        probe.refused(f"stat {path}", lambda: os.stat(path))
    return probe.told()
