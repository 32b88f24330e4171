"""The stages as processes: Stage 2's service and worker, and Stage 3."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from .processes import Process, listens

SECRET = "whsec_c3RhZ2UyLWFuZC1zdGFnZTMtc2hhcmUtdGhpcy1rZXk="  # noqa: S105 (of loopback, in examples)
"""What the host signs webhooks with."""


class Service(Process):
    """Stage 2's service."""

    def __init__(self, directory: Path, port: int, environment: Mapping[str, str]) -> None:
        self.port = port
        words = ["--factory", "stage2.api.orchestrator_service:create_app", "--host", "127.0.0.1", "--port", str(port)]
        super().__init__("stage2-service", [sys.executable, "-m", "uvicorn", *words], directory, environment)

    def run(self) -> Self:
        """Start it and wait until it listens."""
        return self.start().ready(lambda: listens(self.port))

    def start_batch(self, job_id: str, documents: Mapping[str, str]) -> None:
        """Hand in a batch."""
        listed = [{"document_id": name, "text": text} for name, text in documents.items()]
        self.ask("/batches", {"job_id": job_id, "documents": listed})

    def batch(self, job_id: str) -> dict[str, Any]:
        """Say how far a batch is."""
        return self.ask(f"/batches/{job_id}")

    def ask(self, path: str, body: object = None) -> dict[str, Any]:
        """Send a request and give what it answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return dict(json.loads(answer.read()))


class Worker(Process):
    """Stage 2's Celery worker: a parent, and two processes that do the work."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        words = ["--app", "stage2.batch.celery_tasks", "worker", "--concurrency", "2", "--loglevel", "WARNING"]
        super().__init__("stage2-worker", [sys.executable, "-m", "celery", *words], directory, environment)

    def run(self) -> Self:
        """Start it and wait until its processes are there."""
        return self.start().ready(lambda: len(self.children()) >= 2)


class Stage3(Process):
    """Stage 3, consuming from one backend."""

    def __init__(self, directory: Path, words: Sequence[str], events_url: str, results: Path) -> None:
        self.data = directory / "stage3"
        options = ["--data", str(self.data), "--results", str(results), "--events-url", events_url]
        command = [sys.executable, "-m", "stage3", *options, *words]
        super().__init__("stage3", command, directory, {"STAGE3_WEBHOOK_SECRET": SECRET})
