"""Each backend for real: a host, its broker, and Stage 3 as its own process, by the ordinary client library."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rig.brokers import Broker, Kafka, Nats, RabbitMq, RedisStreams, Webhook
from rig.host import Host, settings
from rig.processes import until
from rig.stages import Stage3
from stage3.store import Store

COUNT = 20
BROKERS: dict[str, Callable[[Path], Broker]] = {
    "redis_streams": lambda directory: RedisStreams(directory).run(),
    "kafka": lambda directory: Kafka(directory).run(),
    "nats": lambda directory: Nats(directory).run(),
    "rabbitmq": lambda directory: RabbitMq(directory).run(),
    "webhook": lambda _: Webhook(),
}


@pytest.fixture(params=BROKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broker(kind: str, tmp_path: Path) -> Iterator[Broker]:
    with ExitStack() as stack:
        broker = BROKERS[kind](tmp_path)
        stack.callback(broker.kill)
        yield broker


@pytest.fixture
def host(kind: str, broker: Broker, tmp_path: Path) -> Iterator[Host]:
    """A host that leads documents to Stage 3, and what Stage 3 says of them to a stream of its own."""
    backends = [{"type": kind, "name": "stage3", "config": broker.backend()}, {"type": "local"}]
    routes = [
        {"name": "there", "match": [{"prefix": {"type": "com.storytelling.nlp."}}], "deliver": ["stage3"]},
        {"name": "back", "match": [{"prefix": {"type": "com.storytelling.embedding."}}], "deliver": ["local"]},
    ]
    with Host(tmp_path, settings(tmp_path, {"enabled": True, "backends": backends}, routes)) as host:
        yield host.run()


def event(results: Path, number: int, text: str) -> dict[str, Any]:
    path = results / f"doc-{number}.jsonl"
    path.write_text(json.dumps({"text": text}) + "\n", "utf-8")
    return {
        "specversion": "1.0",
        "id": f"evt_{number}",
        "source": "stage2-nlp-processing",
        "type": "com.storytelling.nlp.document.processed",
        "subject": f"document/doc-{number}",
        "data": {"document_id": f"doc-{number}", "output_location": {"jsonl": path.as_uri()}},
    }


def post(host: Host, events: list[dict[str, Any]]) -> None:
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    request = urllib.request.Request(host.url, json.dumps(events).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


def test_documents_are_embedded_once_and_failures_come_back(
    kind: str, broker: Broker, host: Host, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    events = [event(results, number, f"The captain of ship {number} saw the lighthouse.") for number in range(COUNT)]
    broken = event(results, 99, "of the and")
    with Stage3(tmp_path, broker.consumer(), host.url, results) as stage3:
        stage3.start()
        # Each twice: what comes again is nothing new.
        post(host, [*events, broken])
        store = Store(stage3.data)
        until("all are dealt with", lambda: len(store.seen()) == COUNT + 1)
        post(host, [{**each, "data": {**each["data"], "again": True}} for each in events])
        post(host, [{**events[0], "id": "evt_last"}])
        until("the last one is dealt with", lambda: len(store.seen()) == COUNT + 2)
        stage3.stop()
        assert "Traceback" not in stage3.tail(10_000)
    assert set(store.embedded()) == {f"doc-{number}" for number in range(COUNT)}
    assert all(seconds > 0 for seconds in store.embedded().values())
    assert sorted(seen.outcome for seen in store.seen()) == ["embedded"] * (COUNT + 1) + ["reported"]
    (back,) = [json.loads(line) for line in host.ask("tail", "local", "--config", str(host.settings)).splitlines()]
    assert (back["type"], back["data"]["document_id"]) == ("com.storytelling.embedding.failed", "doc-99")
    assert back["hops"] == 1
    assert host.dead_letters() == [], kind


def test_what_a_killed_consumer_had_is_not_lost(broker: Broker, host: Host, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    events = [event(results, number, f"The captain of ship {number} saw the lighthouse.") for number in range(COUNT)]
    with Stage3(tmp_path, broker.consumer(), host.url, results) as stage3:
        stage3.start()
        store = Store(stage3.data)
        post(host, events[: COUNT // 2])
        until("some are dealt with", lambda: len(store.seen()) >= 3)
        stage3.kill()
        post(host, events[COUNT // 2 :])
        stage3.start()
        until("all are dealt with", lambda: len(store.seen()) == COUNT)
    assert set(store.embedded()) == {f"doc-{number}" for number in range(COUNT)}
