"""Hosts that are none: one that never answers, one that takes 5 seconds, one that refuses. A process of their own.

python -m rig.faulty hung|slow|refusing PORT
"""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from pathlib import Path

from .processes import Process, free_port, listens

SLOW_SECONDS = 5.0
ANSWERS = {
    "slow": b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
    "refusing": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
}


class FaultyHost(Process):
    """One of them, ready."""

    def __init__(self, kind: str, directory: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        command = [sys.executable, "-m", "rig.faulty", kind, str(self.port)]
        super().__init__(kind, command, directory, {"PYTHONPATH": str(Path(__file__).resolve().parents[1])})
        self.start().ready(lambda: listens(self.port))

    @property
    def url(self) -> str:
        """Where events are posted."""
        return f"http://127.0.0.1:{self.port}/events"


def serve(kind: str, port: int) -> None:
    """Serve for ever."""

    class Peer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if kind == "hung":
                threading.Event().wait()
            while self._request():
                time.sleep(SLOW_SECONDS if kind == "slow" else 0)
                self.wfile.write(ANSWERS[kind])

        def _request(self) -> bool:
            """Read one request to its end."""
            length = 0
            while line := self.rfile.readline():
                if line == b"\r\n":
                    self.rfile.read(length)
                    return True
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            return False

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", port), Peer) as server:
        server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
