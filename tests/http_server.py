"""A small HTTP server for the time of a test."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers in JSON, and logs nothing."""

    def posted(self, body: bytes) -> None:
        """Answer a POST with this body."""
        raise NotImplementedError

    def do_POST(self) -> None:
        """A request."""
        self.posted(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, document: object) -> None:
        """Send it."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(handler: type[Answering]) -> Iterator[str]:
    """A server on a port of its own; gives its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
