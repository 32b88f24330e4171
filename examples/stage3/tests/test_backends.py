"""Each backend for real: a host, its broker, and Stage 3 as its own process, by the ordinary client library."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig.brokers import Broker, Kafka, Nats, RabbitMq, RedisStreams, Webhook
from rig.host import Host, settings
from rig.processes import Process, until
from rig.stages import Stage3
from stage3.store import Seen, Store

COUNT = 20
BROKERS: dict[str, Callable[[Path], Broker]] = {
    "redis_streams": lambda directory: RedisStreams(directory).run(),
    "kafka": lambda directory: Kafka(directory).run(),
    "nats": lambda directory: Nats(directory).run(),
    "rabbitmq": lambda directory: RabbitMq(directory).run(),
    "webhook": lambda _: Webhook(),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A broker, and a host that leads documents there, and what comes back to a stream of its own."""

    broker: Broker
    host: Host
    results: Path

    def stage3(self, directory: Path) -> Stage3:
        return Stage3(directory, self.broker.consumer(), self.host.url, self.results)

    def publish(self, *events: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        request = urllib.request.Request(self.host.url, json.dumps(events).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 202

    def processed(self, name: str, text: str = "The captain of the ship saw the lighthouse.") -> dict[str, Any]:
        path = self.results / f"{name}.jsonl"
        path.write_text(json.dumps({"text": text}) + "\n", "utf-8")
        return {
            "specversion": "1.0",
            "id": f"evt_{name}",
            "source": "stage2-nlp-processing",
            "type": "com.storytelling.nlp.document.processed",
            "subject": f"document/{name}",
            "data": {"document_id": name, "output_location": {"jsonl": path.as_uri()}},
        }

    def came_back(self) -> list[dict[str, Any]]:
        lines = self.host.ask("tail", "local", "--config", str(self.host.settings)).splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module", params=BROKERS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    kind, directory = str(request.param), tmp_path_factory.mktemp("place")
    with ExitStack() as stack:
        broker = BROKERS[kind](directory)
        stack.callback(broker.kill)
        backends = [{"type": kind, "name": "stage3", "config": broker.backend()}, {"type": "local"}]
        routes = [
            {"name": "there", "match": [{"prefix": {"type": "com.storytelling.nlp."}}], "deliver": ["stage3"]},
            {"name": "back", "match": [{"prefix": {"type": "com.storytelling.embedding."}}], "deliver": ["local"]},
        ]
        events = {"enabled": True, "backends": backends}
        host = stack.enter_context(Host(directory, settings(directory, events, routes)))
        (directory / "results").mkdir()
        yield Place(broker, host.run(), directory / "results")


def of(seen: list[Seen], test: str) -> list[Seen]:
    """What belongs to a test: a consumer that was killed leaves events that come again later."""
    return [each for each in seen if (each.document_id or "").startswith(test)]


def names(test: str, count: int = COUNT) -> list[str]:
    return [f"{test}-{number}" for number in range(count)]


def test_documents_are_embedded_once_and_failures_come_back(place: Place, tmp_path: Path) -> None:
    events = [place.processed(name) for name in names("once")]
    with place.stage3(tmp_path).start() as stage3:
        store = Store(stage3.data)
        place.publish(*events, place.processed("once-broken", "of the and"))
        until("all are dealt with", lambda: len(of(store.seen(), "once")) == COUNT + 1)
        # What comes again is nothing new; only what is behind it shows that it has come.
        place.publish(*({**event, "data": {**event["data"], "again": True}} for event in events))
        place.publish(place.processed("once-last"))
        until("the last one is dealt with", lambda: len(of(store.seen(), "once")) == COUNT + 2)
        stage3.stop()
        assert "Traceback" not in stage3.tail(10_000)
    assert set(store.embedded()) == {*names("once"), "once-last"}
    assert all(seconds > 0 for seconds in store.embedded().values())
    outcomes = sorted(each.outcome for each in store.seen())
    assert outcomes == ["embedded"] * (COUNT + 1) + ["reported"]
    (back,) = until("the failure has come back", place.came_back)
    assert (back["type"], back["data"]["document_id"]) == ("com.storytelling.embedding.failed", "once-broken")
    assert back["hops"] == 1
    assert place.host.dead_letters() == []


def test_what_a_killed_consumer_had_is_not_lost(place: Place, tmp_path: Path) -> None:
    events = [place.processed(name) for name in names("killed")]
    with place.stage3(tmp_path).start() as stage3:
        store = Store(stage3.data)
        place.publish(*events[: COUNT // 2])
        until("some are dealt with", lambda: len(of(store.seen(), "killed")) >= 3)
        stage3.kill()
        place.publish(*events[COUNT // 2 :])
        stage3.start()
        until("all are dealt with", lambda: len(of(store.seen(), "killed")) == COUNT)
    assert set(store.embedded()) >= set(names("killed"))


def test_a_broker_that_restarts_is_found_again(place: Place, tmp_path: Path) -> None:
    if not isinstance(place.broker, Process):
        # Without a broker there is nothing to restart.
        return
    events = [place.processed(name) for name in names("restart", 2)]
    with place.stage3(tmp_path).start() as stage3:
        store = Store(stage3.data)
        place.publish(events[0])
        until("the first one is dealt with", lambda: len(of(store.seen(), "restart")) == 1)
        place.broker.stop()
        place.publish(events[1])
        place.broker.start()
        until("the second one is dealt with", lambda: len(of(store.seen(), "restart")) == 2)
        assert stage3.is_running()
