import os
import socket

from capsule import task

import probe


@task(allowed_hosts=["127.0.0.1:@OPEN@"])
def main():
    def udp():
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", @PORT@))

    def listen():
        server = socket.socket()
        server.bind(("0.0.0.0", 0))
        server.listen()
        server.accept()

    probe.refused("udp", udp)
    probe.refused("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    probe.refused("unix", lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock") if hasattr(socket, "AF_UNIX") else 1 / 0)
    probe.refused("listen", listen)
    probe.refused("pair", lambda: os.write(socket.socketpair()[0].fileno(), b"x"))
    probe.refused("a descriptor", lambda: socket.socket(fileno=1).send(b"x"))
    return probe.told()
