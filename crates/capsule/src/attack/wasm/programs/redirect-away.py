import urllib.request

from capsule import http, task

import probe


@task(allowed_hosts=["127.0.0.1:@OPEN@"])
def main():
    probe.control("network", lambda: http.get("http://127.0.0.1:@OPEN@/", follow_redirects=False))
    for path in ("redirect", "redirect-name", "redirect-relative"):
        probe.refused(path, lambda: http.get(f"http://127.0.0.1:@OPEN@/{path}"))
        probe.refused(f"urllib {path}", lambda: urllib.request.urlopen(f"http://127.0.0.1:@OPEN@/{path}", timeout=5).read())
    return probe.told()
