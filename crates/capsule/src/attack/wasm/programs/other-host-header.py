import socket

from capsule import http, task

import probe


def say(text):
    with socket.create_connection(("127.0.0.1", @OPEN@), 5) as stream:
        stream.sendall(text.replace("\n", "\r\n").encode())
        while stream.recv(4096):
            pass


@task(allowed_hosts=["127.0.0.1:@OPEN@"])
def main():
    probe.control("network", lambda: http.get("http://127.0.0.1:@OPEN@/"))
    for text in (
        "GET / HTTP/1.1\nHost: 127.0.0.1:@PORT@\nConnection: close\n\n",
        "GET http://127.0.0.1:@PORT@/ HTTP/1.1\nHost: 127.0.0.1:@OPEN@\nConnection: close\n\n",
        "CONNECT 127.0.0.1:@PORT@ HTTP/1.1\nHost: 127.0.0.1:@PORT@\n\n",
        "GET / HTTP/1.1\nHost: 127.0.0.1:@OPEN@\nHost: 127.0.0.1:@PORT@\nConnection: close\n\n",
    ):
        try:
            say(text)
        except OSError:
            pass
    # Whether the other server was visited is for the stage to say.
    probe.expect("all was said", True)
    return probe.told()
