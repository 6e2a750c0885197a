#!/usr/bin/env python3
"""The least that recommends over HTTP: the same popular movies for everybody, by the standard library.

    http_server.py 127.0.0.1:8001 &
    marquee-loadgen compare ... --side popular=http://127.0.0.1:8001,template=http.toml
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POPULAR = [318, 296, 356, 593, 2571, 260, 110, 527, 2959, 480]


class Popular(BaseHTTPRequestHandler):
    """Answers every POST with the first k."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        """One request, its body read whole, so that the connection can be kept."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps({"user": request["user"], "movies": POPULAR[: request["k"]]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing: a line a request would be what is measured."""


if __name__ == "__main__":
    host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8001").rsplit(":", 1)
    ThreadingHTTPServer((host, int(port)), Popular).serve_forever()
