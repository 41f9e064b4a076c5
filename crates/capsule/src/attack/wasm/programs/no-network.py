import socket
import urllib.request

from capsule import http, task

import probe


@task
def main():
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "::1", "127.1", "2130706433"):
        probe.refused(host, lambda: socket.create_connection((host, @PORT@), 5))
        probe.refused(f"http {host}", lambda: http.get(f"http://{host}:@PORT@/"))
    probe.refused("urllib", lambda: urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=5))
    probe.refused("https", lambda: http.get("https://127.0.0.1:@PORT@/"))
    probe.refused("a name", lambda: socket.create_connection(("c2VjcmV0.unlisted.invalid", 443), 5))
    return probe.told()
