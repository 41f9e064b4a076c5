from capsule import task

import probe


@task
def child():
    import os

    probe.refused("a file", lambda: probe.read("/private"))
    probe.refused("the project", lambda: probe.read("/main.py"))
    probe.expect("a variable", "@VARIABLE@" not in os.environ, sorted(os.environ))
    return probe.log


@task
def main():
    rights = {"allowed_files": ["."], "env_variables": ["@VARIABLE@"], "allowed_hosts": ["*"]}
    child.options.update(rights)
    for name, value in rights.items():
        setattr(child, name, value)
    probe.log += child()
    return probe.told()
