"""What is published, and what happens to it when the host does not want it; against a receiver within the test."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from rig.processes import free_port, until
from stage2.events import cloudevent
from stage2.events.publisher import EventPublisher

if TYPE_CHECKING:
    from conftest import Receiver

Make = Callable[..., EventPublisher]


def one(publisher: EventPublisher, number: int = 0, **more: Any) -> bool:
    return publisher.publish_document_processed(
        f"doc-{number}", job_id="job-1", processing_time=1.5, metrics={"event_count": number}, **more
    )


def test_a_processed_document_is_the_documents_event(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url, batch=1)
    assert publisher.publish_document_processed(
        "doc-123",
        job_id="job-456",
        processing_time=12.5,
        metrics={"event_count": 5, "entity_count": 23, "soa_triplet_count": 12},
        output_locations={"jsonl": "file:///app/data/x.jsonl"},
        metadata={"pipeline_version": "1.0.0", "model_versions": {"ner": "rules-1"}},
    )
    assert publisher.flush(5)
    (event,) = receiver.events
    assert event.pop("id").startswith("evt_")
    assert datetime.fromisoformat(event.pop("time")).tzinfo == UTC
    assert event == {
        "specversion": "1.0",
        "type": "com.storytelling.nlp.document.processed",
        "source": "stage2-nlp-processing",
        "datacontenttype": "application/json",
        "subject": "document/doc-123",
        "data": {
            "document_id": "doc-123",
            "job_id": "job-456",
            "status": "success",
            "processing_time_seconds": 12.5,
            "output_location": {"jsonl": "file:///app/data/x.jsonl"},
            "metrics": {"event_count": 5, "entity_count": 23, "soa_triplet_count": 12},
            "metadata": {"pipeline_version": "1.0.0", "model_versions": {"ner": "rules-1"}},
        },
    }
    assert receiver.headers[0]["content-type"] == "application/cloudevents+json"


def test_the_other_three_events(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url)
    begin, end = datetime(2025, 12, 14, 12, tzinfo=UTC), datetime(2025, 12, 14, 13, tzinfo=UTC)
    publisher.publish_batch_started("job-456", document_count=100, started_at=begin)
    publisher.publish_document_failed("doc-1", error=ValueError("x" * 1_000), retry_count=2)
    publisher.publish_batch_completed(
        "job-456", metrics={"total_events": 490}, successful=98, failed=2, started_at=begin, completed_at=end
    )
    assert publisher.flush(5)
    started, failed, completed = receiver.events
    assert (started["type"], started["subject"]) == ("com.storytelling.nlp.batch.started", "batch/job-456")
    assert started["data"] == {"job_id": "job-456", "document_count": 100, "started_at": "2025-12-14T12:00:00.000Z"}
    assert failed["type"] == "com.storytelling.nlp.document.failed"
    assert failed["data"]["error"] == {"type": "ValueError", "message": "x" * 300}
    assert (failed["data"]["retry_count"], failed["data"]["status"]) == (2, "failed")
    assert completed["type"] == "com.storytelling.nlp.batch.completed"
    assert completed["data"]["total_documents"] == 100
    assert completed["data"]["duration_seconds"] == 3600.0
    assert completed["data"]["aggregate_metrics"] == {"total_events": 490}


def test_each_switch_of_publish_events_is_heeded(receiver: Receiver, publisher_to: Make) -> None:
    off = {"document_processed": False, "document_failed": False, "batch_started": False, "batch_completed": False}
    publisher = publisher_to(receiver.url, events={"publish_events": off})
    assert not one(publisher)
    assert not publisher.publish_document_failed("doc-1", error="no")
    assert not publisher.publish_batch_started("job-1", document_count=1)
    assert not publisher.publish_batch_completed("job-1", metrics={})
    assert publisher.publish("com.example.other", "other/1", {})
    assert publisher.flush(5)
    assert [event["type"] for event in receiver.events] == ["com.example.other"]


def test_no_text_gets_out(receiver: Receiver, publisher_to: Make, caplog: pytest.LogCaptureFixture) -> None:
    publisher = publisher_to(receiver.url)
    secret = "Once upon a time"
    one(publisher, metadata={"text": secret, "deep": [{"raw_html": secret, "kept": 1}], "pipeline_version": "1"})
    publisher.publish("com.example.x", "x/1", {"text": secret, "a": 1})
    assert publisher.flush(5)
    assert secret not in json.dumps(receiver.events)
    assert receiver.events[0]["data"]["metadata"] == {"deep": [{"kept": 1}], "pipeline_version": "1"}
    assert secret not in caplog.text


def test_the_current_span_goes_with_the_event(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url)
    one(publisher, 0)
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        one(publisher, 1)
    assert publisher.flush(5)
    without, within = receiver.events
    assert "traceparent" not in without
    context = span.get_span_context()
    flags = int(context.trace_flags)
    assert within["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
    assert flags & 1
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_key_makes_a_repetition_the_same_event(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url)
    for key in ("a", "a", "b", None, None):
        one(publisher, key=key)
    assert publisher.flush(5)
    ids = [event["id"] for event in receiver.events]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4


def test_hops_are_an_extension_attribute(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url)
    one(publisher, 0)
    one(publisher, 1, hops=3)
    assert publisher.flush(5)
    assert [event.get("hops") for event in receiver.events] == [None, 3]


@pytest.mark.parametrize(
    ("value", "read"), [(0, 0), (3, 3), ("4", 4), (-1, 2**31 - 1), ("x", 2**31 - 1), (None, 2**31 - 1)]
)
def test_a_broken_hop_counter_is_the_end(value: object, read: int) -> None:
    assert cloudevent.hops(value) == read


def test_events_go_out_in_batches_and_in_order(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url, batch=10, linger_seconds=0.2)
    for number in range(35):
        assert one(publisher, number)
    assert publisher.flush(5)
    assert [event["data"]["metrics"]["event_count"] for event in receiver.events] == list(range(35))
    assert max(len(request) for request in receiver.requests) == 10
    assert receiver.headers[0]["content-type"] == "application/cloudevents-batch+json"
    assert len(receiver.requests) <= 5


def test_what_cannot_be_published_is_a_warning(
    receiver: Receiver, publisher_to: Make, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = publisher_to(receiver.url)
    assert not publisher.publish("com.example.x", "x", {"unheard": object()})
    assert not publisher.publish("com.example.x", "x", {"of": float("nan")})
    assert not publisher.publish_document_processed("d", processing_time="long", metrics={})  # type: ignore[arg-type]
    assert not publisher.publish_document_processed("d", processing_time=1, metrics=7)  # type: ignore[arg-type]
    assert caplog.text.count("Failed to publish event") == 4
    assert one(publisher)
    assert publisher.flush(5)
    assert len(receiver.events) == 1


def test_a_full_queue_drops_what_comes_and_says_so_once(publisher_to: Make, caplog: pytest.LogCaptureFixture) -> None:
    publisher = publisher_to(f"http://127.0.0.1:{free_port()}/events", queue=5)
    answers = [one(publisher, number) for number in range(100)]
    assert answers == [True] * 5 + [False] * 95
    assert (publisher.waiting, publisher.dropped) == (5, 95)
    assert caplog.text.count("Event dropped: the queue is full") == 1


def test_busy_hosts_are_asked_again_when_they_said(receiver: Receiver, publisher_to: Make) -> None:
    receiver.answers = [(503, {"Retry-After": "1"}, b""), (429, {}, b""), (500, {}, b"<html>"), (401, {}, b"")]
    publisher = publisher_to(receiver.url)
    begin = time.monotonic()
    one(publisher)
    assert publisher.flush(10)
    assert time.monotonic() - begin >= 1.0
    assert len(receiver.headers) == 5
    assert len(receiver.events) == 1
    assert publisher.dropped == 0
    assert publisher.failure_rate == 0.8


def test_what_the_host_will_never_take_does_not_hold_up_the_rest(
    receiver: Receiver, publisher_to: Make, caplog: pytest.LogCaptureFixture
) -> None:
    problem = {"detail": "event 1 is malformed", "errors": [{"index": 1, "pointer": "/id", "detail": "no id"}]}
    receiver.answers = [(400, {}, json.dumps(problem).encode())]
    publisher = publisher_to(receiver.url, linger_seconds=0.2)
    for number in range(4):
        one(publisher, number)
    assert publisher.flush(5)
    assert [event["data"]["metrics"]["event_count"] for event in receiver.events] == [0, 2, 3]
    assert publisher.dropped == 1
    assert "1 events dropped" in caplog.text
    assert "event 1 is malformed" in caplog.text


def test_a_request_that_is_too_large_is_halved(receiver: Receiver, publisher_to: Make) -> None:
    receiver.answers = [(413, {}, b""), (413, {}, b""), (413, {}, b"")]
    publisher = publisher_to(receiver.url, linger_seconds=0.2)
    for number in range(4):
        one(publisher, number)
    assert publisher.flush(5)
    # 4, then 2, then 1: that one is too large by itself.
    assert [event["data"]["metrics"]["event_count"] for event in receiver.events] == [1, 2, 3]
    assert publisher.dropped == 1


def test_the_token_is_sent(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url, token="s3cret")
    one(publisher)
    assert publisher.flush(5)
    assert receiver.headers[0]["authorization"] == "Bearer s3cret"


def test_a_kept_connection_that_was_closed_costs_nothing(publisher_to: Make) -> None:
    """As after a restart of the host: the second request finds a closed connection, and goes over a new one at once."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with peer:
                    got.append(peer.recv(65_536))
                    while b'"data"' not in got[-1]:
                        got[-1] += peer.recv(65_536)
                    peer.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        publisher = publisher_to(f"http://127.0.0.1:{server.getsockname()[1]}/events", pause_seconds=30)
        one(publisher, 1)
        assert publisher.flush(5)
        one(publisher, 2)
        assert publisher.flush(5)
        thread.join()
    assert len(got) == 2
    assert publisher.failure_rate == 0.0


def test_many_threads_may_publish(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda number: one(publisher, number), range(400)))
    assert publisher.flush(10)
    assert sorted(event["data"]["metrics"]["event_count"] for event in receiver.events) == list(range(400))
    assert len({event["id"] for event in receiver.events}) == 400


def test_disabled_for_a_while_means_kept(receiver: Receiver, publisher_to: Make) -> None:
    publisher = publisher_to(receiver.url)
    publisher.disable_temporarily(0.3)
    one(publisher)
    assert not publisher.flush(0.1)
    assert publisher.flush(5)
    assert len(receiver.events) == 1


def test_after_the_end_events_are_refused(
    receiver: Receiver, publisher_to: Make, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = publisher_to(receiver.url)
    one(publisher, 0)
    publisher.close(5)
    assert len(receiver.events) == 1
    assert not one(publisher, 1)
    assert "the publisher is closed" in caplog.text


def test_trouble_and_its_end_are_said_once_each(
    receiver: Receiver, publisher_to: Make, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [(503, {}, b"")] * 5
    publisher = publisher_to(receiver.url)
    one(publisher)
    assert publisher.flush(5)
    until("it is said", lambda: "again" in caplog.text)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert warnings[0].startswith("Failed to publish events: the host answered 503")
    assert warnings[1].startswith("Events are sent to")


def test_each_event_is_logged_without_its_data(
    receiver: Receiver, publisher_to: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publisher = publisher_to(receiver.url)
    one(publisher, 7)
    publisher.close(5)
    (record,) = [record for record in caplog.records if record.getMessage() == "Event published"]
    fields = vars(record)
    assert fields["event_type"] == "com.storytelling.nlp.document.processed"
    assert (fields["document_id"], fields["event_id"]) == ("doc-7", receiver.events[0]["id"])
    assert fields["latency_ms"] >= 0
