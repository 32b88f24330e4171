"""The publisher against a real host: down, killed, back, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rig.faulty import FaultyHost
from rig.host import Host
from rig.processes import until
from stage2.events.cloudevent import EMBEDDING_FAILED
from stage2.events.publisher import EventPublisher

Make = Callable[..., EventPublisher]


def one(publisher: EventPublisher, number: int, **more: Any) -> bool:
    return publisher.publish_document_processed(
        f"doc-{number}", job_id="job-1", processing_time=1.0, metrics={"event_count": number}, **more
    )


def numbers(host: Host) -> list[int]:
    return [event["data"]["metrics"]["event_count"] for event in host.journal()]


def test_events_arrive_as_they_were_published(host: Host, publisher_to: Make) -> None:
    publisher = publisher_to(host.url)
    assert one(publisher, 1, hops=2, metadata={"pipeline_version": "1.0.0"})
    assert publisher.publish(EMBEDDING_FAILED, "document/doc-1", {"quoted": '"ü\\n"'})
    assert publisher.flush(10)
    processed, failed = host.journal()
    assert processed["data"]["metadata"] == {"pipeline_version": "1.0.0"}
    assert (processed["hops"], processed["subject"]) == (2, "document/doc-1")
    assert failed["data"] == {"quoted": '"ü\\n"'}
    assert publisher.dropped == 0


def test_what_was_published_while_the_host_was_down_arrives_in_order_when_it_is_back(
    host: Host, publisher_to: Make
) -> None:
    publisher = publisher_to(host.url, batch=50)
    for number in range(100):
        assert one(publisher, number)
    assert publisher.flush(10)
    host.kill()
    for number in range(100, 300):
        assert one(publisher, number)
    assert not publisher.flush(0.2)
    assert publisher.waiting == 200
    host.run()
    assert publisher.flush(30)
    assert numbers(host) == list(range(300))
    assert publisher.dropped == 0


@pytest.mark.parametrize("kind", ["hung", "refusing"])
def test_what_was_published_while_it_was_hung_or_refusing_arrives_when_it_is_well(
    kind: str, host: Host, publisher_to: Make, tmp_path: Path
) -> None:
    host.stop()
    publisher = publisher_to(host.url, timeout_seconds=0.3)
    with FaultyHost(kind, tmp_path, host.port):
        for number in range(50):
            assert one(publisher, number)
        until("it has been noticed", lambda: publisher.failure_rate > 0)
        assert publisher.waiting == 50
    host.run()
    assert publisher.flush(30)
    assert sorted(set(numbers(host))) == list(range(50))
    assert publisher.dropped == 0


def test_a_slow_host_gets_everything_in_the_end(publisher_to: Make, tmp_path: Path) -> None:
    with FaultyHost("slow", tmp_path) as slow:
        publisher = publisher_to(slow.url)
        for number in range(50):
            assert one(publisher, number)
        assert not publisher.flush(1)
        assert publisher.flush(30)
    assert (publisher.dropped, publisher.failure_rate) == (0, 0.0)


def test_a_host_that_is_killed_in_the_middle_loses_nothing(host: Host, publisher_to: Make) -> None:
    publisher = publisher_to(host.url, batch=20)
    for number in range(2_000):
        assert one(publisher, number)
        if number == 700:
            until("some have arrived", lambda: publisher.waiting < 600)
            host.kill()
            host.run()
    assert publisher.flush(30)
    # What was under way comes twice, with the same id.
    assert sorted(set(numbers(host))) == list(range(2_000))
    assert len({event["id"] for event in host.journal()}) == 2_000


def test_a_bad_event_among_good_ones_is_the_only_one_that_is_lost(host: Host, publisher_to: Make) -> None:
    publisher = publisher_to(host.url, linger_seconds=0.3)
    one(publisher, 1)
    publisher.publish("", "nothing", {})
    one(publisher, 2)
    assert publisher.flush(10)
    assert numbers(host) == [1, 2]
    assert publisher.dropped == 1
