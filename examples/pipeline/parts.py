"""All parts of the pipeline together: Redis, the host, Stage 2's service and worker, Stage 3."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rig.brokers import RedisStreams
from rig.host import Host
from rig.processes import free_port
from rig.stages import SECRET, Service, Stage3, Worker
from stage3.store import Seen, Store

STORIES = Path(__file__).resolve().parents[1] / "stage2" / "stories"
REDELIVERY_SECONDS = 5

SETTINGS = Path(__file__).with_name("settings.yaml")
"""Shared by the host and Stage 2, here as in containers."""


class Pipeline:
    """Everything, each a process of its own, in one directory that goes away with it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="stagewire-pipeline-")))
        self.results = self.directory / "stage2" / "results"
        self.redis = RedisStreams(self.directory)
        service_port = free_port()
        where = {
            "PIPELINE_REDIS_URL": self.redis.url(1),
            "PIPELINE_STAGE2_URL": f"http://127.0.0.1:{service_port}",
            "STAGE2_WEBHOOK_SECRET": SECRET,
        }
        self.host = Host(self.directory, SETTINGS, where)
        environment = {
            **self.host.environment,
            "STAGE2_SETTINGS": str(SETTINGS),
            "STAGE2_DATA": str(self.directory / "stage2"),
            "STAGE2_REDELIVERY_SECONDS": str(REDELIVERY_SECONDS),
            "CELERY_BROKER_URL": self.redis.url(0),
            "EVENTS_SPOOL": str(self.directory / "spool"),
        }
        self.service = Service(self.directory, service_port, environment)
        self.worker = Worker(self.directory, environment)
        self.stage3 = Stage3(self.directory, self.redis.consumer(), self.host.url, self.results)

    def __enter__(self) -> Self:
        """Start all of them; whatever is there ends if one does not start."""
        try:
            for part in (self.redis, self.host, self.service, self.worker, self.stage3):
                self._stack.callback(part.kill)
            self.redis.run()
            self.host.run()
            self.service.run()
            self.worker.run()
            self.stage3.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            for part in (self.host, self.service, self.worker, self.stage3):
                print(f"--- the end of {part.log.name}\n{part.tail()}")
        for part in (self.stage3, self.worker, self.service, self.host):
            part.stop(10)
        self._stack.close()

    def seen(self) -> list[Seen]:
        """Give what Stage 3 has dealt with."""
        return Store(self.stage3.data).seen()

    def statuses(self, job_id: str) -> dict[str, dict[str, Any]]:
        """Give what Stage 2 says of the documents of a batch."""
        return dict(self.service.batch(job_id)["documents"])

    def is_settled(self, job_id: str) -> bool:
        """Say whether all documents of a batch are embedded, or given up by Stage 2."""
        embedded = {seen.document_id for seen in self.seen() if seen.outcome == "embedded"}
        return all(
            entry["status"] == "failed" or (entry["status"] == "processed" and name in embedded)
            for name, entry in self.statuses(job_id).items()
        )


def stories() -> dict[str, str]:
    """Give the stories by their names."""
    return {path.stem: path.read_text("utf-8") for path in sorted(STORIES.glob("*.md"))}
