"""Documents, batches and results of Stage 2: an SQLite file and one file of results for each document."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    job_id TEXT PRIMARY KEY, started_at TEXT NOT NULL, completed_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS documents (
    document_id TEXT PRIMARY KEY, job_id TEXT, text TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'waiting',
    reason TEXT, retry_count INTEGER NOT NULL DEFAULT 0, metrics TEXT NOT NULL DEFAULT '{}',
    seconds REAL NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS documents_of_batches ON documents (job_id, status);
CREATE TABLE IF NOT EXISTS answered (source TEXT, id TEXT, PRIMARY KEY (source, id)) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was handed in, and how far it is."""

    document_id: str
    job_id: str | None
    text: str
    status: str
    reason: str | None
    retry_count: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, and how far it is."""

    job_id: str
    started_at: datetime
    completed_at: datetime | None
    documents: int
    waiting: int
    failed: int
    metrics: dict[str, float]


class Store:
    """What several processes of one machine share."""

    def __init__(self, directory: Path) -> None:
        """Open it, and make it where it is missing."""
        self.results = directory / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self._file = directory / "stage2.sqlite"
        with self._database() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)

    def add_batch(self, job_id: str, documents: Iterable[tuple[str, str]]) -> bool:
        """Add a batch of `(document_id, text)`; false, and nothing happens, if it is there."""
        with self._database() as database:
            added = database.execute(
                "INSERT OR IGNORE INTO batches (job_id, started_at) VALUES (?, ?)",
                (job_id, datetime.now(UTC).isoformat()),
            )
            if added.rowcount:
                rows = [(document_id, job_id, text) for document_id, text in documents]
                database.executemany(ADD_DOCUMENT, rows)
            return bool(added.rowcount)

    def add_document(self, document_id: str, text: str) -> None:
        """Add one document without a batch, or replace it."""
        with self._database() as database:
            database.execute(ADD_DOCUMENT, (document_id, None, text))

    def document(self, document_id: str) -> Document | None:
        """Read one document."""
        query = "SELECT document_id, job_id, text, status, reason, retry_count FROM documents WHERE document_id = ?"
        with self._database() as database:
            row = database.execute(query, (document_id,)).fetchone()
        return Document(*row) if row else None

    def write_result(self, document_id: str, lines: Iterable[Mapping[str, Any]]) -> Path:
        """Write the results of a document, as JSON lines, all or nothing."""
        path = self.results / f"{document_id}.jsonl"
        handle, fresh = tempfile.mkstemp(dir=self.results, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            # The next stage is another user.
            os.fchmod(handle, 0o644)
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        Path(fresh).replace(path)
        return path

    def settle(
        self,
        document_id: str,
        status: str,
        *,
        retry_count: int,
        reason: str | None = None,
        metrics: Mapping[str, float] | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Note how a document ended."""
        values = (status, reason, retry_count, json.dumps(dict(metrics or {})), seconds, document_id)
        with self._database() as database:
            database.execute(
                "UPDATE documents SET status = ?, reason = ?, retry_count = ?, metrics = ?, seconds = ?"
                " WHERE document_id = ?",
                values,
            )

    def batch(self, job_id: str) -> Batch | None:
        """Read how far a batch is."""
        with self._database() as database:
            row = database.execute(
                "SELECT started_at, completed_at FROM batches WHERE job_id = ?", (job_id,)
            ).fetchone()
            if row is None:
                return None
            query = "SELECT status, metrics, seconds FROM documents WHERE job_id = ?"
            documents = database.execute(query, (job_id,)).fetchall()
        statuses = [status for status, _, _ in documents]
        return Batch(
            job_id=job_id,
            started_at=datetime.fromisoformat(row[0]),
            completed_at=row[1] and datetime.fromisoformat(row[1]),
            documents=len(documents),
            waiting=statuses.count("waiting"),
            failed=statuses.count("failed"),
            metrics=_together(documents),
        )

    def complete(self, job_id: str) -> None:
        """Note that a batch is done."""
        with self._database() as database:
            now = datetime.now(UTC).isoformat()
            database.execute(
                "UPDATE batches SET completed_at = ? WHERE job_id = ? AND completed_at IS NULL", (now, job_id)
            )

    def statuses(self, job_id: str) -> dict[str, tuple[str, str | None]]:
        """Give status and reason of each document of a batch."""
        query = "SELECT document_id, status, reason FROM documents WHERE job_id = ? ORDER BY rowid"
        with self._database() as database:
            rows = database.execute(query, (job_id,)).fetchall()
        return {document_id: (status, reason) for document_id, status, reason in rows}

    def was_answered(self, source: str, event_id: str) -> bool:
        """Say whether an event of another stage has been dealt with."""
        query = "SELECT 1 FROM answered WHERE source = ? AND id = ?"
        with self._database() as database:
            return database.execute(query, (source, event_id)).fetchone() is not None

    def note_answered(self, source: str, event_id: str) -> None:
        """Note that it has."""
        with self._database() as database:
            database.execute("INSERT OR IGNORE INTO answered VALUES (?, ?)", (source, event_id))

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        # A connection each time: threads and forked children can share nothing else.
        database = sqlite3.connect(self._file, timeout=30)
        try:
            with database:
                database.execute("PRAGMA synchronous = NORMAL")
                yield database
        finally:
            database.close()


ADD_DOCUMENT = """
INSERT INTO documents (document_id, job_id, text) VALUES (?, ?, ?) ON CONFLICT (document_id) DO UPDATE
SET job_id = excluded.job_id, text = excluded.text, status = 'waiting', reason = NULL, retry_count = 0
"""


def _together(documents: list[tuple[str, str, float]]) -> dict[str, float]:
    counts = [json.loads(metrics) for status, metrics, _ in documents if status == "processed"]
    seconds = [seconds for status, _, seconds in documents if status == "processed"]
    return {
        "total_events": sum(count.get("event_count", 0) for count in counts),
        "total_entities": sum(count.get("entity_count", 0) for count in counts),
        "avg_processing_time": round(sum(seconds) / len(seconds), 6) if seconds else 0.0,
    }
