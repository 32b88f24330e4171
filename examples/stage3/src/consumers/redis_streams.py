"""Redis Streams: redis-py and a consumer group."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis

from ..feedback import Undeliverable
from ..stage import Stage
from . import PAUSE_SECONDS

logger = logging.getLogger(__name__)

COUNT = 100
BLOCK_SECONDS = 1.0
Entry = tuple[bytes, dict[bytes, bytes]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this backend."""
    parser.add_argument("--url", default=os.environ.get("REDIS_EVENTS_URL", "redis://127.0.0.1:6379/1"))
    parser.add_argument("--stream", default="nlp-events")
    parser.add_argument("--group", default="stage3")
    parser.add_argument("--consumer", default=socket.gethostname(), help="one name for each consumer of the group")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds until what a dead consumer had is taken over")


def consume(stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
    """Read with the group until it is time to stop; over and over again where Redis goes away."""
    while not stop.is_set():
        try:
            client = redis.Redis.from_url(options.url, socket_timeout=BLOCK_SECONDS + 5)
            _Group(stage, client, options, stop).read()
        except redis.RedisError as error:
            logger.warning("trying again in %.0f s: %s", PAUSE_SECONDS, error)
            stop.wait(PAUSE_SECONDS)


class _Group:
    """The group, by one connection."""

    def __init__(self, stage: Stage, client: redis.Redis, options: argparse.Namespace, stop: threading.Event) -> None:
        self.stage, self.client, self.stop = stage, client, stop
        self.stream, self.group, self.name = options.stream, options.group, options.consumer
        self.idle = options.idle
        self.next_look = 0.0

    def read(self) -> None:
        """Take over what was left, then read what is new."""
        self._make()
        while not self.stop.is_set():
            self._take_over()
            for _, entries in self._new():
                self._handle(entries)

    def _make(self) -> None:
        try:
            # From 0: what was published before the first consumer came is not passed by.
            self.client.xgroup_create(self.stream, self.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _new(self) -> list[Any]:
        block = int(BLOCK_SECONDS * 1_000)
        found: Any = self.client.xreadgroup(self.group, self.name, {self.stream: ">"}, count=COUNT, block=block)
        return list(found or [])

    def _take_over(self) -> None:
        """Take what waits for an acknowledgement for too long: a dead consumer's, or one's own before a restart."""
        if time.monotonic() < self.next_look:
            return
        start: Any = "0-0"
        while True:
            found: Any = self.client.xautoclaim(
                self.stream, self.group, self.name, int(self.idle * 1_000), start, count=COUNT
            )
            start, entries = found[0], found[1]
            self._handle(entries)
            if start in (b"0-0", "0-0"):
                break
        self.next_look = time.monotonic() + self.idle / 2

    def _handle(self, entries: Iterable[Entry]) -> None:
        for entry_id, fields in entries:
            try:
                headers = {name.decode(): text.decode() for name, text in fields.items() if name != b"event"}
                self.stage.receive(fields[b"event"], headers)
            except Undeliverable as error:
                logger.warning("%s; the event comes again", error)
                continue
            except KeyError:
                logger.warning("entry %s has no field event", entry_id.decode())
            self.client.xack(self.stream, self.group, entry_id)
