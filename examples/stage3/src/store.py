"""What Stage 3 keeps: vectors, and which events it has dealt with, in one transaction. An SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .embedding import Vector
from .event import Event, now

SCHEMA = """
CREATE TABLE IF NOT EXISTS embeddings (
    document_id TEXT PRIMARY KEY, job_id TEXT, vector BLOB NOT NULL, seconds REAL NOT NULL, at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS seen (
    source TEXT, id TEXT, document_id TEXT, outcome TEXT NOT NULL, reason TEXT, hops INTEGER NOT NULL, traceparent TEXT,
    at TEXT NOT NULL, PRIMARY KEY (source, id)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that was dealt with."""

    source: str
    id: str
    document_id: str | None
    outcome: str
    reason: str | None
    hops: int
    traceparent: str | None
    at: str


class Store:
    """What several consumers of one machine share."""

    def __init__(self, directory: Path) -> None:
        """Open it, and make it where it is missing."""
        directory.mkdir(parents=True, exist_ok=True)
        self._file = directory / "stage3.sqlite"
        with self._database() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)

    def was_seen(self, event: Event) -> bool:
        """Say whether an event with this `source` and `id` has been dealt with."""
        with self._database() as database:
            row = database.execute("SELECT 1 FROM seen WHERE source = ? AND id = ?", (event.source, event.id))
            return row.fetchone() is not None

    def keep(self, event: Event, vector: Vector, seconds: float) -> bool:
        """Keep a vector and that its event was seen, both or neither; false if it had been seen meanwhile."""
        data = event.data
        with self._database() as database:
            if not self._note(database, event, "embedded", None):
                return False
            row = (data.get("document_id"), data.get("job_id"), vector.tobytes(), seconds, now())
            database.execute("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?, ?)", row)
            return True

    def note(self, event: Event, outcome: str, reason: str | None = None) -> bool:
        """Note that an event has been dealt with in another way."""
        with self._database() as database:
            return self._note(database, event, outcome, reason)

    def seen(self) -> list[Seen]:
        """Give all events that have been dealt with, in their order."""
        with self._database() as database:
            return [Seen(*row) for row in database.execute("SELECT * FROM seen ORDER BY rowid")]

    def embedded(self) -> dict[str, float]:
        """Give the seconds that each document's embedding took."""
        with self._database() as database:
            return dict(database.execute("SELECT document_id, seconds FROM embeddings").fetchall())

    def nearest(self, document_id: str, count: int = 3) -> list[tuple[str, float]]:
        """Give the documents that are most like this one, and how much, by the cosine."""
        with self._database() as database:
            rows = database.execute("SELECT document_id, vector FROM embeddings").fetchall()
        vectors = {name: np.frombuffer(blob, dtype=np.float32) for name, blob in rows}
        if document_id not in vectors:
            return []
        this = vectors.pop(document_id)
        likeness = [(name, float(this @ other)) for name, other in vectors.items()]
        return sorted(likeness, key=lambda pair: -pair[1])[:count]

    @staticmethod
    def _note(database: sqlite3.Connection, event: Event, outcome: str, reason: str | None) -> bool:
        document = event.data.get("document_id")
        row = (event.source, event.id, document, outcome, reason, event.hops, event.traceparent, now())
        return database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount == 1

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        # A connection each time: threads can share nothing else.
        database = sqlite3.connect(self._file, timeout=30)
        try:
            with database:
                database.execute("PRAGMA synchronous = NORMAL")
                yield database
        finally:
            database.close()
