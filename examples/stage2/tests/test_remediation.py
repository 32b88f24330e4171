"""What comes back from Stage 3: processed again, a few times, and never for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks import Webhook

from stage2.api import orchestrator_service
from stage2.batch import celery_tasks
from stage2.batch.remediation import MOST_HOPS, RETRIES, Again, GiveUp, decide
from stage2.core.stage import Stage
from stage2.core.store import Store
from stage2.events.cloudevent import EMBEDDING_FAILED, HOPS, CloudEvent
from stage2.events.publisher import EventPublisher

if TYPE_CHECKING:
    from conftest import Receiver

SECRET = "whsec_" + "c3RhZ2V3aXJlLXNlY3JldC1vZi10aGUtdGVzdHM="
FAILED = CloudEvent(
    EMBEDDING_FAILED,
    "document/doc-1",
    {"document_id": "doc-1", "job_id": "job-1", "error": {"type": "OutputError", "message": "the output is damaged"}},
    source="stage3-embedding",
    extensions={HOPS: 1, "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
)


def hopped(hops: object) -> CloudEvent:
    return replace(FAILED, extensions={HOPS: hops})  # type: ignore[dict-item]


def test_again_one_hop_further() -> None:
    assert decide(FAILED, 0) == Again(retry_count=1, hops=2)
    assert decide(FAILED, RETRIES - 1) == Again(retry_count=RETRIES, hops=2)


def test_given_up_after_the_last_try() -> None:
    answer = decide(FAILED, RETRIES)
    assert isinstance(answer, GiveUp)
    assert answer.reason == f"embedding failed after {RETRIES} retries: the output is damaged"


@pytest.mark.parametrize("hops", [MOST_HOPS, MOST_HOPS + 5, "broken", -1, None])
def test_a_circle_is_left_whatever_the_tries_say(hops: object) -> None:
    assert isinstance(decide(hopped(hops), 0), GiveUp)


def test_it_ends_in_whatever_order_and_however_often_it_fails() -> None:
    retry_count, hops, steps = 0, 1, 0
    while isinstance(answer := decide(hopped(hops), retry_count), Again):
        assert answer.hops > hops
        retry_count, hops, steps = answer.retry_count, answer.hops + 1, steps + 1
    assert steps == RETRIES


@pytest.fixture
def stage(
    receiver: Receiver, publisher_to: Callable[..., EventPublisher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """A stage whose tasks run where they are called, without a broker."""
    stage = Stage(Store(tmp_path), publisher_to(receiver.url))
    for module in (celery_tasks, orchestrator_service):
        monkeypatch.setattr(module, "stage", lambda: stage)
    monkeypatch.setenv("STAGE2_WEBHOOK_SECRET", SECRET)
    celery_tasks.app.conf.task_always_eager = True
    yield stage
    celery_tasks.app.conf.task_always_eager = False


@pytest.fixture
def client(stage: Stage) -> Iterator[TestClient]:
    del stage
    with TestClient(orchestrator_service.create_app()) as client:
        yield client


def posted(client: TestClient, event: CloudEvent, secret: str = SECRET) -> int:
    body, now = event.encode().decode(), datetime.now(UTC)
    headers = {
        "webhook-id": event.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event.id, now, body),
        "content-type": "application/cloudevents+json",
    }
    return int(client.post("/webhook/events", content=body, headers=headers).status_code)


def published(stage: Stage, receiver: Receiver) -> list[dict[str, Any]]:
    assert stage.publisher.flush(5)
    return [event for event in receiver.events if event["type"].startswith("com.storytelling.nlp.document")]


def batch(client: TestClient, *texts: str) -> None:
    documents = [{"document_id": f"doc-{number}", "text": text} for number, text in enumerate(texts, 1)]
    assert client.post("/batches", json={"job_id": "job-1", "documents": documents}).status_code == 202


def test_a_failed_embedding_is_answered_by_the_document_processed_again(
    client: TestClient, stage: Stage, receiver: Receiver
) -> None:
    batch(client, "Marta wrote the weather.")
    assert posted(client, FAILED) == 204
    first, second = published(stage, receiver)
    assert (first.get("hops"), second["hops"]) == (None, 2)
    assert first["id"] != second["id"]
    # One trace from the failure to its answer.
    assert second["traceparent"].split("-")[1] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_the_same_event_twice_is_answered_once(client: TestClient, stage: Stage, receiver: Receiver) -> None:
    batch(client, "Marta wrote the weather.")
    assert [posted(client, FAILED), posted(client, FAILED)] == [204, 204]
    assert len(published(stage, receiver)) == 2


def test_a_document_that_never_succeeds_is_given_up_with_the_reason(
    client: TestClient, stage: Stage, receiver: Receiver
) -> None:
    batch(client, "Marta wrote the weather.")
    for number in range(RETRIES + 3):
        assert posted(client, replace(FAILED, id=f"failed-{number}")) == 204
    events = published(stage, receiver)
    kinds = [event["type"].rsplit(".", 1)[1] for event in events]
    assert kinds == ["processed"] * (RETRIES + 1) + ["failed"] * 3
    # Given up once: what comes after has the same id.
    assert len({event["id"] for event in events}) == RETRIES + 2
    assert client.get("/batches/job-1").json()["documents"]["doc-1"] == {
        "status": "failed",
        "reason": f"embedding failed after {RETRIES} retries: the output is damaged",
    }


def test_events_of_others_are_taken_and_left(client: TestClient, stage: Stage, receiver: Receiver) -> None:
    assert posted(client, replace(FAILED, type="com.storytelling.embedding.done")) == 204
    assert posted(client, replace(FAILED, data={"document_id": "unheard-of"})) == 204
    assert published(stage, receiver) == []


def test_who_does_not_sign_is_not_heard(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert posted(client, FAILED, "whsec_" + "YW5vdGhlci1zZWNyZXQtYWx0b2dldGhlci1vZi0yNA==") == 401
    assert client.post("/webhook/events", content=FAILED.encode()).status_code == 401
    monkeypatch.delenv("STAGE2_WEBHOOK_SECRET")
    assert posted(client, FAILED) == 503


def test_the_service_processes_one_document_at_once(client: TestClient, stage: Stage, receiver: Receiver) -> None:
    done = client.post("/documents", json={"document_id": "doc-9", "text": "Marta wrote the weather."})
    assert (done.status_code, done.json()["metrics"]["event_count"]) == (200, 1)
    refused = client.post("/documents", json={"document_id": "doc-10", "text": "…"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "the document cannot be processed: it has no words")
    assert [event["type"].rsplit(".", 1)[1] for event in published(stage, receiver)] == ["processed", "failed"]
    assert client.post("/documents", json={"document_id": "../etc", "text": "x"}).status_code == 422


def test_a_batch_ends_though_a_document_fails(client: TestClient, stage: Stage, receiver: Receiver) -> None:
    batch(client, "Marta wrote the weather.", "…", "Tomas fed the burner.")
    shown = client.get("/batches/job-1").json()
    assert shown["completed_at"] is not None
    assert [entry["status"] for entry in shown["documents"].values()] == ["processed", "failed", "processed"]
    assert stage.publisher.flush(5)
    (completed,) = [event for event in receiver.events if event["type"].endswith("batch.completed")]
    assert completed["data"]["failed"] == 1
    assert client.get("/batches/job-2").status_code == 404


def test_an_event_is_read_as_it_was_written() -> None:
    assert CloudEvent.decode(FAILED.encode()) == FAILED
    for wrong in (b"[]", b"{}", b"{", b'{"specversion":"1.0","id":"1","source":"s","type":"t"}'):
        with pytest.raises(ValueError, match=r"event|Expecting"):
            CloudEvent.decode(wrong)
    assert json.loads(FAILED.encode())["hops"] == 1
