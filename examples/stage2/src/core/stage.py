"""What Stage 2 does with a document, whoever asks for it: the service, or a worker."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ..events.publisher import EventPublisher
from .config import load
from .nlp import VERSIONS, UnprocessableError, analyse
from .store import Batch, Document, Store

PIPELINE_VERSION = "1.0.0"


@dataclass(frozen=True, slots=True)
class Stage:
    """The store that it works on, and the publisher that it tells the others by."""

    store: Store
    publisher: EventPublisher

    def process(self, document: Document, *, retry_count: int = 0, hops: int = 0) -> dict[str, int]:
        """Process one document, keep the results, publish, and note the end, in this order.

        A worker that dies in between does all of it again: the same results, and events with the same ids.

        Raises:
            UnprocessableError: it cannot be processed; that has been noted and published.
        """
        begin = time.perf_counter()
        try:
            analysis = analyse(document.text)
        except UnprocessableError as error:
            self.fail(document, str(error), retry_count=retry_count, hops=hops)
            raise
        path = self.store.write_result(document.document_id, analysis.lines())
        seconds = time.perf_counter() - begin
        self.publisher.publish_document_processed(
            document.document_id,
            job_id=document.job_id,
            processing_time=seconds,
            metrics=analysis.metrics,
            output_locations={"jsonl": path.resolve().as_uri()},
            metadata={"pipeline_version": PIPELINE_VERSION, "model_versions": VERSIONS},
            key=_key(document, retry_count),
            hops=hops,
        )
        self.store.settle(
            document.document_id, "processed", retry_count=retry_count, metrics=analysis.metrics, seconds=seconds
        )
        return analysis.metrics

    def fail(self, document: Document, reason: str, *, retry_count: int = 0, hops: int = 0) -> None:
        """Give a document up, for a reason that is published and kept."""
        self.publisher.publish_document_failed(
            document.document_id,
            job_id=document.job_id,
            error=reason,
            retry_count=retry_count,
            key=_key(document, retry_count),
            hops=hops,
        )
        self.store.settle(document.document_id, "failed", retry_count=retry_count, reason=reason)

    def start_batch(self, job_id: str, documents: list[tuple[str, str]]) -> bool:
        """Keep a batch and tell that it begins; false if it had begun already."""
        added = self.store.add_batch(job_id, documents)
        # Also where it was added before: whoever did may have died before it could tell.
        self.publisher.publish_batch_started(job_id, document_count=len(documents), key=job_id)
        return added

    def finish_batch(self, job_id: str) -> Batch | None:
        """Tell that a batch is done, if it is."""
        batch = self.store.batch(job_id)
        if batch is None or batch.waiting or batch.completed_at is not None:
            return None
        # Two workers may both be the last: their events are the same one.
        self.publisher.publish_batch_completed(
            job_id,
            metrics=batch.metrics,
            successful=batch.documents - batch.failed,
            failed=batch.failed,
            started_at=batch.started_at,
            key=job_id,
        )
        self.store.complete(job_id)
        return batch


def _key(document: Document, retry_count: int) -> str | None:
    """Say what makes a repetition the same event; a document without a batch may be handed in again on purpose."""
    return document.job_id and f"{document.job_id}/{document.document_id}/{retry_count}"


@cache
def stage() -> Stage:
    """Give this process' stage: settings as `core.config.load` finds them, data in `STAGE2_DATA`."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # Nobody set tracing up: spans are recorded nowhere, and events still carry who caused whom.
        trace.set_tracer_provider(TracerProvider())
    store = Store(Path(os.environ.get("STAGE2_DATA", "data/stage2")))
    return Stage(store, EventPublisher.from_settings(load()))
