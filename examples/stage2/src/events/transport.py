"""One request to the host, and what its answer means.

The standard library's client is enough here: one thread, one kept connection, a body and a status. It costs
no dependency, and no more than milliseconds to import.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
MOST_ANSWER = 65_536
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The host has all of them on its disk."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The host will never take what is at these indexes; without any, the whole request."""

    reason: str
    indexes: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Later:
    """Not now; at the earliest `after` seconds from now, where the host said so."""

    reason: str
    after: float | None = None


Answer = Delivered | Refused | Later


@dataclass(slots=True)
class Transport:
    """The way to one host."""

    url: str
    token: str | None = field(repr=False)
    timeout: float
    connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def send(self, events: Sequence[bytes]) -> Answer:
        """Post encoded events, one in structured mode, several in batched mode. Never raises."""
        if len(events) == 1:
            body, kind = events[0], STRUCTURED
        else:
            body, kind = b"[" + b",".join(events) + b"]", BATCHED
        headers = {"Content-Type": kind, "User-Agent": "stagewire-publisher/0.1"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            return self._request(body, headers)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Later(f"cannot reach {self.url}: {error or type(error).__name__}")

    def close(self) -> None:
        """Let go of the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _request(self, body: bytes, headers: dict[str, str]) -> Answer:
        until = time.monotonic() + self.timeout
        response = self._response(body, headers, until)
        answer = response.read(MOST_ANSWER)
        if not response.isclosed():
            self.close()
        return meaning(response.status, response.getheader("Retry-After"), answer)

    def _response(self, body: bytes, headers: dict[str, str], until: float) -> http.client.HTTPResponse:
        kept = self.connection is not None
        connection = self.connection = self.connection or self._connect()
        try:
            connection.request("POST", urlsplit(self.url).path or "/events", body, headers)
            if connection.sock is not None:
                connection.sock.settimeout(max(0.001, until - time.monotonic()))
            return connection.getresponse()
        except (ConnectionError, http.client.BadStatusLine):
            if not kept:
                raise
            # A kept connection that the host had closed meanwhile, as a host that restarts does.
            self.close()
            return self._response(body, headers, until)

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "localhost", parts.port, timeout=self.timeout)
        connection.connect()
        # A request is two writes, head and body: the second must not wait for the first's acknowledgement.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def meaning(status: int, retry_after: str | None, body: bytes) -> Answer:
    """Say what an answer of the host means for what was sent."""
    if 200 <= status < 300:
        return Delivered()
    problem = _problem(body)
    reason = f"the host answered {status}: {problem.get('detail') or http.client.responses.get(status, '')}"
    if status in (400, 413, 422):
        errors = problem.get("errors")
        indexes = (
            (error.get("index") for error in errors if isinstance(error, dict)) if isinstance(errors, list) else ()
        )
        return Refused(reason, frozenset(index for index in indexes if isinstance(index, int)))
    # Whatever else it is (no credentials, another path, too busy), it is no fault of the events.
    return Later(reason, float(retry_after) if retry_after and retry_after.isdigit() else None)


def _problem(body: bytes) -> dict[str, object]:
    """Read a problem document (RFC 9457)."""
    try:
        problem = json.loads(body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
