"""Shared by the tests: a receiver that stands in for the host, and a real host."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rig.host import Host, settings
from stage2.core.config import EventsConfig, PublisherConfig
from stage2.events.publisher import EventPublisher


@dataclass
class Receiver:
    """An HTTP server within the test: it keeps what it gets, and answers what it is told to, 202 by default."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[list[dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for request in self.requests for event in request]

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, answer = receiver.answers.pop(0) if receiver.answers else (202, {}, b"")
                if 200 <= status < 300:
                    receiver.requests.append(body if isinstance(body, list) else [body])
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), receiver.handler())
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def publisher_to() -> Iterator[Callable[..., EventPublisher]]:
    """Publishers that are enabled, quick to try again, and closed with the test."""
    made: list[EventPublisher] = []

    def make(url: str, *, events: dict[str, Any] | None = None, **config: Any) -> EventPublisher:
        quick = {"linger_seconds": 0.0, "pause_seconds": 0.01, "longest_pause_seconds": 0.05, "close_seconds": 0.2}
        settings = PublisherConfig.model_validate({"url": url, **quick, **config})
        made.append(EventPublisher(EventsConfig.model_validate({"enabled": True, **(events or {})}), settings))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A real host that keeps what it gets in its embedded stream."""
    with Host(tmp_path, settings(tmp_path, {"enabled": True, "backend": "local"})) as host:
        yield host.run()
