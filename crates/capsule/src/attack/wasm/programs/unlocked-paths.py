import os

from capsule import task

import probe


@task(allowed_files=["granted"])
def main():
    probe.expect("control", probe.read("/granted/control") == "control")
    for path in (
        "@OUTSIDE@/secret", "@PROJECT@/private", "/private", "private", "./private", "//private", "/./private",
        "/granted/../private", "granted/../private", "/granted/../../outside/secret", "/../private", "../private",
        "../" * 20 + "etc/passwd", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/.env", "/main.py",
        "/proc/self/environ", "/proc/self/mem", "/proc/1/environ", "/proc/self/root/etc/passwd", "/proc/self/cwd",
        "/sys/kernel", "/dev/mem", "/dev/fd/0", "/dev/fd/3", "/dev/tty", "/run", "/var/run/docker.sock",
        "/granted/control/../../private", "/granted/./.././private", "/granted/\x00/private", "/granted//../private",
        "/tmp/../private", "/granted/out/secret", "/granted/out/../private", "/granted\\..\\private",
        "/granted/%2e%2e/private", "/granted/‥/private", "a" * 300, "/granted" + "/." * 100 + "/../private",
    ):
        probe.refused(path[:60], lambda: probe.read(path))
        probe.refused(f"list {path[:60]}", lambda: os.listdir(path))
        probe.refused(f"make {path[:60]}", lambda: open(path + "x", "x"))
    for number in range(-1, 40):
        probe.refused(f"descriptor {number}", lambda: os.pread(number, 64, 0))
    return probe.told()
