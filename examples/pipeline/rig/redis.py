"""A real Redis in a directory of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import redis

from .processes import Process, free_port


class Redis(Process):
    """Database 0 is Celery's, 1 has the events."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        data = directory / "redis"
        data.mkdir()
        options = {"port": self.port, "dir": data, "bind": "127.0.0.1", "appendonly": "yes", "save": ""}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        super().__init__("redis", ["redis-server", *words], directory)

    def url(self, database: int) -> str:
        """Give the address of a database."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database: int = 1) -> redis.Redis:
        """Connect."""
        return redis.Redis.from_url(self.url(database), socket_timeout=5)

    def run(self) -> Self:
        """Start it and wait until it answers."""
        return self.start().ready(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False
