"""The orchestrator: documents and batches come in, and what other stages say of them.

uvicorn --factory stage2.api.orchestrator_service:create_app
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from opentelemetry import trace
from pydantic import BaseModel, Field
from standardwebhooks import Webhook, WebhookVerificationError

from ..batch import celery_tasks
from ..core.nlp import UnprocessableError
from ..core.stage import stage
from ..events.cloudevent import EMBEDDING_FAILED, CloudEvent

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
MOST_BODY = 1 << 20
tracer = trace.get_tracer("stage2.api")


class NewDocument(BaseModel):
    """A document as it comes from Stage 1."""

    document_id: Name
    text: str


class NewBatch(BaseModel):
    """Documents that belong together."""

    job_id: Name = Field(default_factory=lambda: f"job-{uuid.uuid4().hex[:12]}")
    documents: list[NewDocument] = Field(min_length=1, max_length=10_000)


def create_app() -> FastAPI:
    """Make the application."""
    app = FastAPI(title="Stage 2: NLP", lifespan=lifespan)
    app.get("/healthz")(health)
    app.post("/documents")(process_document)
    app.post("/batches", status_code=202)(start_batch)
    app.get("/batches/{job_id}")(show_batch)
    app.post("/webhook/events", status_code=204)(receive_event)
    return app


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Begin with what an earlier process could not send, end with the rest."""
    stage().publisher.start()
    yield
    stage().publisher.close()


def health() -> dict[str, Any]:
    """Say that the service is there, and how publishing goes; that is no part of its health."""
    publisher = stage().publisher
    events = {"enabled": publisher.config.enabled, "waiting": publisher.waiting, "dropped": publisher.dropped}
    return {"status": "ok", "events": events}


def process_document(new: NewDocument) -> dict[str, Any]:
    """Process one document at once."""
    with tracer.start_as_current_span("process_document"):
        stage().store.add_document(new.document_id, new.text)
        document = stage().store.document(new.document_id)
        if document is None:
            raise HTTPException(404, "the document has been removed meanwhile")
        try:
            return {"document_id": new.document_id, "metrics": stage().process(document)}
        except UnprocessableError as error:
            raise HTTPException(422, f"the document cannot be processed: {error}") from error


def start_batch(new: NewBatch) -> dict[str, Any]:
    """Hand a batch to the workers."""
    names = [document.document_id for document in new.documents]
    if len(set(names)) < len(names):
        raise HTTPException(422, "a batch has each document once")
    with tracer.start_as_current_span("start_batch"):
        stage().start_batch(new.job_id, [(document.document_id, document.text) for document in new.documents])
        celery_tasks.process_batch.delay(new.job_id, names, celery_tasks.current())
    return {"job_id": new.job_id, "documents": len(names)}


def show_batch(job_id: str) -> dict[str, Any]:
    """Say how far a batch is."""
    batch = stage().store.batch(job_id)
    if batch is None:
        raise HTTPException(404, f"there is no batch {job_id}")
    documents = {
        name: {"status": status, "reason": why} for name, (status, why) in stage().store.statuses(job_id).items()
    }
    done = batch.completed_at.isoformat() if batch.completed_at else None
    return {"job_id": job_id, "waiting": batch.waiting, "completed_at": done, "documents": documents}


async def receive_event(request: Request) -> Response:
    """Take an event from the host: signed (Standard Webhooks), in structured mode.

    204 means that the answer to it is on its way, and that no crash of this service stops it.
    """
    body = await request.body()
    if len(body) > MOST_BODY:
        raise HTTPException(413, "an event is smaller")
    try:
        verifier().verify(body, dict(request.headers))
        event = CloudEvent.decode(body)
    except WebhookVerificationError as error:
        raise HTTPException(401, f"the signature is not right: {error}") from error
    except ValueError as error:
        raise HTTPException(400, f"no event: {error}") from error
    if event.type == EMBEDDING_FAILED:
        await run_in_threadpool(celery_tasks.remediate.delay, body.decode())
    return Response(status_code=204)


def verifier() -> Webhook:
    """Give the key of `STAGE2_WEBHOOK_SECRET`; without one nothing is taken."""
    secret = os.environ.get("STAGE2_WEBHOOK_SECRET")
    if not secret:
        raise HTTPException(503, "STAGE2_WEBHOOK_SECRET is not set: set the host's webhook.signing_secrets there")
    return Webhook(secret)
