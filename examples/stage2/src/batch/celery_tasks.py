"""The tasks of the workers.

    celery --app stage2.batch.celery_tasks worker

A task is acknowledged when it is done: one whose worker was killed goes to another. So every task may run twice, and
does no harm by it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from celery import Celery, Task
from celery.signals import worker_process_init, worker_process_shutdown
from opentelemetry import trace
from opentelemetry.propagate import extract, inject

from ..core.nlp import UnprocessableError
from ..core.stage import stage
from ..events.cloudevent import CloudEvent
from .remediation import Again, GiveUp, decide

BROKER = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
REDELIVERY_SECONDS = float(os.environ.get("STAGE2_REDELIVERY_SECONDS", "3600"))
"""When a task goes to another worker whose own was killed as a whole; longer than any task may take."""

app = Celery("stage2", broker=BROKER)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": REDELIVERY_SECONDS,
        # By default it is looked for them every 100 s only.
        "unacked_restore_interval": min(10.0, REDELIVERY_SECONDS / 2),
        "unacked_restore_throttle": 1,
    },
    task_acks_late=True,
    task_ignore_result=True,
    task_reject_on_worker_lost=True,
    task_serializer="json",
    worker_prefetch_multiplier=1,
)
tracer = trace.get_tracer("stage2.batch")

Carrier = dict[str, str]


@worker_process_init.connect
def begin(**_: object) -> None:
    """Send what a worker that was killed could not."""
    stage().publisher.start()


@worker_process_shutdown.connect
def end(**_: object) -> None:
    """Send the rest: a worker's process ends without what other programs do at their end."""
    stage().publisher.close()


@app.task(bind=True, autoretry_for=(OSError,), max_retries=3, retry_backoff=True)
def process_document(
    self: Task[Any, Any], document_id: str, carrier: Carrier, retry_count: int = 0, hops: int = 0
) -> None:
    """Process one document of the store; its text travels in no message."""
    del self
    with tracer.start_as_current_span("process_document", context=extract(carrier)):
        document = stage().store.document(document_id)
        if document is None or (document.status != "waiting" and document.retry_count >= retry_count):
            # Done by a worker that died before it could say so.
            return
        # What cannot be processed has been noted and published; trying again would not help.
        with suppress(UnprocessableError):
            stage().process(document, retry_count=retry_count, hops=hops)
        if document.job_id is not None:
            stage().finish_batch(document.job_id)


@app.task(autoretry_for=(OSError,), max_retries=3, retry_backoff=True)
def process_batch(job_id: str, documents: list[str], carrier: Carrier) -> None:
    """Hand the documents of a batch to the workers."""
    with tracer.start_as_current_span("process_batch", context=extract(carrier)):
        for document_id in documents:
            process_document.delay(document_id, current())
        stage().finish_batch(job_id)


@app.task(autoretry_for=(OSError,), max_retries=3, retry_backoff=True)
def remediate(body: str) -> None:
    """Answer `com.storytelling.embedding.failed`: process the document again, or give it up."""
    event = CloudEvent.decode(body)
    store = stage().store
    document = store.document(str(event.data.get("document_id")))
    if document is None or store.was_answered(event.source, event.id):
        return
    with tracer.start_as_current_span("remediate", context=extract(context_of(event))):
        match decide(event, document.retry_count):
            case Again(retry_count, hops):
                process_document.delay(document.document_id, current(), retry_count, hops)
            case GiveUp(reason, hops):
                stage().fail(document, reason, retry_count=document.retry_count, hops=hops)
    store.note_answered(event.source, event.id)


def current() -> Carrier:
    """Give the current span, to go on from in another process."""
    carrier: Carrier = {}
    inject(carrier)
    return carrier


def context_of(event: CloudEvent) -> Carrier:
    """Give the span that an event was published in."""
    names = ("traceparent", "tracestate")
    return {name: str(event.extensions[name]) for name in names if name in event.extensions}
