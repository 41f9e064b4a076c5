"""What the door costs: curl against a server of this host, directly and through it.

usage: door.py CAPSULE_RUN [ROUNDS]

Both run in a jail; one shares the host's network, the other has the door. The
rounds are interleaved, and each round starts a jail of its own.
"""

import http.server
import statistics
import subprocess
import sys
import threading

REQUESTS = 10


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * 1024
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def times(capsule_run, port, flags):
    """Milliseconds of REQUESTS requests, each a curl of its own, as curl counts them."""
    script = "for i in $(seq %d); do curl -sS -o /dev/null -w '%%{time_total}\\n' %s; done" % (
        REQUESTS,
        f"http://127.0.0.1:{port}/",
    )
    command = [capsule_run, "--timeout", "60s", *flags, "--", "sh", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(line) * 1000 for line in result.stdout.split()]


def main():
    capsule_run = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    ways = {"direct": ["--network"], "door": ["--allow-host", f"127.0.0.1:{port}"]}
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, flags in ways.items():
            taken[name] += times(capsule_run, port, flags)
    print("one HTTP request from inside a jail, milliseconds, interleaved\n")
    for name, values in taken.items():
        p50 = statistics.median(values)
        print(f"  {name:<8}{min(values):>8.2f} min{p50:>8.2f} p50   {len(values)} requests")
    cost = statistics.median(taken["door"]) - statistics.median(taken["direct"])
    print(f"\n  the door costs {cost:.2f} ms a request at the median")


main()
