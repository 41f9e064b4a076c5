import socket

from capsule import http, task

import probe


@task(allowed_hosts=["127.0.0.1:@OPEN@"])
def main():
    probe.control("network", lambda: http.get("http://127.0.0.1:@OPEN@/"))
    for host in ("127.0.0.1", "localhost", "127.0.0.2", "127.1", "0x7f000001", "2130706433", "0", "::1",
                 "::ffff:127.0.0.1", "[::1]", "127.0.0.1.", "LOCALHOST", "127.0.0.1:@OPEN@", "127.0.0.1\0", "１27.0.0.1"):
        probe.refused(host, lambda: socket.create_connection((host, @PORT@), 5))
    for port in (@PORT@ + 65536, -1, 0, 1 << 40):
        probe.refused(f"port {port}", lambda: socket.create_connection(("127.0.0.1", port), 5))
    return probe.told()
