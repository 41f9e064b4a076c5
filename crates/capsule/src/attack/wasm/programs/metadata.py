import socket
import time

from capsule import task

import probe


@task(allowed_hosts=["*", "*:*"] if False else ["*"], timeout="50s")
def main():
    for host in ("169.254.169.254", "2852039166", "0xa9fea9fe", "::ffff:169.254.169.254", "fd00:ec2::254", "100.100.100.200",
                 "metadata.google.internal", "127.0.0.1", "10.0.0.1", "192.168.0.1", "172.17.0.1", "localhost", "0.0.0.0"):
        begun = time.monotonic()
        for port in (80, @PORT@):
            probe.refused(f"{host}:{port}", lambda: socket.create_connection((host, port), 3))
        probe.expect(f"{host} is refused, not tried", time.monotonic() - begun < 7)
    return probe.told()
