"""The publisher: what Stage 2 calls to tell the others, and what never breaks or delays it.

    publisher = EventPublisher.from_settings(load())
    publisher.publish_document_processed("doc-123", processing_time=12.5, metrics={"event_count": 5})

Every call returns within microseconds, whether the host is there or not, and raises nothing: what goes wrong is a
warning in the log, and the answer `False`. Events wait in a bounded queue, go out in batches, and are sent again with
the same id until the host has them on its disk. Nothing of a document's text is published, only where the results are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..core.config import EventsConfig, PublisherConfig, Settings
from .cloudevent import (
    BATCH_COMPLETED,
    BATCH_STARTED,
    DOCUMENT_FAILED,
    DOCUMENT_PROCESSED,
    HOPS,
    SOURCE,
    CloudEvent,
    derived_id,
    timestamp,
)
from .tracing import trace_context

if TYPE_CHECKING:
    from .outbox import Outbox

logger = logging.getLogger(__name__)

PRIVATE = frozenset({"text", "raw_text", "raw_html", "html", "content", "body", "sentences"})
"""Keys that hold a document's text (the document's "Data Privacy"): they are left out wherever they stand."""
MOST_MESSAGE = 300
"""Characters of an error message: some libraries quote what they could not read."""

_withheld: set[str] = set()
"""What was warned of."""

Data = dict[str, Any]
Numbers = Mapping[str, int | float]


class EventPublisher:
    """Publishes the document's four events, and any other. One of them serves all threads of a process."""

    def __init__(self, events: EventsConfig, publisher: PublisherConfig | None = None, *, source: str = SOURCE) -> None:
        """Make a publisher. One that is disabled imports, starts and opens nothing."""
        self.config = events
        self.source = source
        self._outbox: Outbox | None = None
        if events.enabled:
            # Here and not above: threads, sockets and an HTTP client are for those who publish.
            from .outbox import Outbox

            log_events = events.monitoring.log_events
            self._outbox = Outbox(publisher or PublisherConfig(), log_events=log_events)

    @classmethod
    def from_settings(cls, settings: Settings) -> EventPublisher:
        """Make the publisher that the settings file asks for."""
        return cls(settings.events, settings.publisher)

    def publish_document_processed(
        self,
        document_id: str,
        *,
        processing_time: float,
        metrics: Numbers,
        job_id: str | None = None,
        output_locations: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        hops: int = 0,
    ) -> bool:
        """Tell that a document has been processed.

        Args:
            document_id: The document; it becomes the subject, by which events keep their order.
            processing_time: Seconds that it took.
            metrics: Counts and the like. Never text.
            job_id: The batch that it belongs to.
            output_locations: Where the results are, by kind: `{"jsonl": "file:///…"}`.
            metadata: Versions of the pipeline and its models.
            key: What makes a repetition the same event: its id is made of it. Random without.
            hops: How many events led to this one, where it answers another one.

        Returns:
            Whether the event is on its way.
        """

        def data() -> Data:
            return {
                "document_id": document_id,
                "job_id": job_id,
                "status": "success",
                "processing_time_seconds": round(processing_time, 6),
                "output_location": dict(output_locations or {}),
                "metrics": dict(metrics),
                "metadata": metadata and dict(metadata),
            }

        wanted = self.config.publish_events.document_processed
        return wanted and self._publish(DOCUMENT_PROCESSED, f"document/{document_id}", data, key, hops)

    def publish_document_failed(
        self,
        document_id: str,
        *,
        error: str | BaseException,
        retry_count: int = 0,
        job_id: str | None = None,
        key: str | None = None,
        hops: int = 0,
    ) -> bool:
        """Tell that a document could not be processed. `error` is cut to 300 characters; else as above."""

        def data() -> Data:
            kind = type(error).__name__ if isinstance(error, BaseException) else None
            return {
                "document_id": document_id,
                "job_id": job_id,
                "status": "failed",
                "error": {"type": kind, "message": str(error)[:MOST_MESSAGE]},
                "retry_count": retry_count,
            }

        wanted = self.config.publish_events.document_failed
        return wanted and self._publish(DOCUMENT_FAILED, f"document/{document_id}", data, key, hops)

    def publish_batch_started(
        self, job_id: str, *, document_count: int, started_at: datetime | None = None, key: str | None = None
    ) -> bool:
        """Tell that a batch begins."""

        def data() -> Data:
            return {"job_id": job_id, "document_count": document_count, "started_at": timestamp(started_at)}

        wanted = self.config.publish_events.batch_started
        return wanted and self._publish(BATCH_STARTED, f"batch/{job_id}", data, key)

    def publish_batch_completed(
        self,
        job_id: str,
        *,
        metrics: Numbers,
        successful: int | None = None,
        failed: int | None = None,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        output_locations: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> bool:
        """Tell that a batch is done. `metrics` are those of all its documents together."""

        def data() -> Data:
            known = successful is not None and failed is not None
            span = (completed_at - started_at).total_seconds() if started_at and completed_at else None
            return {
                "job_id": job_id,
                "total_documents": (successful or 0) + (failed or 0) if known else None,
                "successful": successful,
                "failed": failed,
                "duration_seconds": span,
                "started_at": started_at and timestamp(started_at),
                "completed_at": timestamp(completed_at),
                "output_locations": output_locations and dict(output_locations),
                "aggregate_metrics": dict(metrics),
            }

        wanted = self.config.publish_events.batch_completed
        return wanted and self._publish(BATCH_COMPLETED, f"batch/{job_id}", data, key)

    def publish(
        self, type: str, subject: str, data: Mapping[str, Any], *, key: str | None = None, hops: int = 0
    ) -> bool:
        """Publish an event of any type, with the same promises."""
        return self._publish(type, subject, lambda: dict(data), key, hops)

    def start(self) -> None:
        """Begin to send what a killed process left in the spool, before there is an event of one's own."""
        if self._outbox is not None:
            self._outbox.start()

    def flush(self, timeout: float) -> bool:
        """Wait until the host has all events so far, at most so many seconds; say whether it has."""
        return self._outbox is None or self._outbox.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Send the rest within `timeout` seconds (`close_seconds` where absent); done by itself as a program ends.

        Processes that end without that, such as Celery's, call it where they end.
        """
        if self._outbox is not None:
            self._outbox.close(self._outbox.config.close_seconds if timeout is None else timeout)

    @property
    def waiting(self) -> int:
        """How many events the host has not confirmed yet."""
        return self._outbox.waiting() if self._outbox is not None else 0

    @property
    def dropped(self) -> int:
        """How many events were given up: the queue was full, or the host will never take them."""
        return self._outbox.dropped if self._outbox is not None else 0

    @property
    def failure_rate(self) -> float:
        """The share of the last 20 requests that failed. The pause between tries grows by itself."""
        return self._outbox.pace.failure_rate() if self._outbox is not None else 0.0

    def disable_temporarily(self, seconds: float = 30.0) -> None:
        """Send nothing for a while; events are queued meanwhile."""
        if self._outbox is not None:
            self._outbox.pace.wait(seconds)

    def _publish(self, kind: str, subject: str, data: Callable[[], Data], key: str | None, hops: int = 0) -> bool:
        if self._outbox is None:
            return False
        try:
            return self._queue(self._outbox, self._event(kind, subject, data(), key, hops))
        except Exception as error:
            # The document's "Graceful Degradation": publishing is not critical, the work is.
            logger.warning("Failed to publish event: %s of %s: %s", kind, subject, error)
            return False

    def _event(self, kind: str, subject: str, data: Data, key: str | None, hops: int) -> CloudEvent:
        named = {} if key is None else {"id": derived_id(self.source, kind, key)}
        extensions: dict[str, str | int | bool] = {**trace_context()}
        if hops:
            extensions[HOPS] = hops
        return CloudEvent(kind, subject, public(data), self.source, extensions=extensions, **named)

    def _queue(self, outbox: Outbox, event: CloudEvent) -> bool:
        from .outbox import Entry

        document = str(event.data.get("document_id", ""))
        return outbox.put(Entry(event.encode(), event.id, event.type, document, time.monotonic()))


def public(data: Mapping[str, Any]) -> Data:
    """Leave out what holds text, and what is not known, at any depth."""
    withheld = PRIVATE.intersection(data)
    if withheld:
        logger.warning("Withheld from an event: %s; publish where it is, not what it is", ", ".join(sorted(withheld)))
    return {name: _public(value) for name, value in data.items() if name not in PRIVATE and value is not None}


def _public(value: object) -> object:
    match value:
        case Mapping():
            return public(value)
        case list() | tuple():
            return [_public(item) for item in value]
        case _:
            return value
