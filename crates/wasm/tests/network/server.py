"""An HTTP server for the tests: `server.py [CERTIFICATE KEY]` prints its port and serves until its stdin ends."""

import gzip
import hashlib
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = hashlib.sha256()
            count = 0
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole.update(self.rfile.read(size))
                count += size
                self.rfile.readline()
            self.rfile.readline()
            return count, whole.hexdigest()
        whole = hashlib.sha256()
        left = count = int(self.headers.get("Content-Length") or 0)
        while left:
            part = self.rfile.read(min(left, 1 << 16))
            whole.update(part)
            left -= len(part)
        return count, whole.hexdigest()

    def _any(self):
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        match parts.path:
            case "/hello":
                self._answer(b"hello")
            case "/echo":
                count, digest = self._body()
                told = {"method": self.command, "path": self.path, "headers": dict(self.headers), "count": count,
                        "sha256": digest, "connection": self.client_address[1]}
                self._answer(json.dumps(told).encode(), Content_Type="application/json")
            case "/redirect":
                self._answer(b"", int(query.get("status", 302)), Location=query["to"])
            case "/loop":
                self._answer(b"", 302, Location="/loop")
            case "/bomb":
                self._answer(gzip.compress(bytes(100_000_000)), Content_Encoding="gzip")
            case "/short":
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"too short")
            case "/status":
                self._answer(b"as you wish", int(query["code"]))
            case "/chunked":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for part in (b"one ", b"two ", b"three"):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            case "/gzip":
                self._answer(gzip.compress(b"pressed" * 1000), Content_Encoding="gzip")
            case "/bytes":
                self._answer(bytes(range(256)) * int(query.get("times", 1)), Content_Type="application/octet-stream")
            case "/big":
                left = int(query["size"])
                self.send_response(200)
                self.send_header("Content-Length", str(left))
                self.end_headers()
                part = bytes(range(256)) * 256
                while left:
                    self.wfile.write(part[:left])
                    left -= min(left, len(part))
            case "/endless":
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(bytes(1 << 16))
            case "/slow":
                time.sleep(float(query["seconds"]))
                self._answer(b"at last")
            case "/close":
                self.close_connection = True
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"until the end")
            case _:
                self._answer(b"not here", 404)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


def main():
    server = Server(("127.0.0.1", 0), Handler)
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[1:3])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


main()
