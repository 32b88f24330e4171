"""What Stage 3 does with an event, without a backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rig.host import Host, settings
from stage3.embedding import DIMENSIONS, EmbeddingError, embed, vector
from stage3.event import EMBEDDING_FAILED, TOO_MANY, Event
from stage3.feedback import Feedback, Undeliverable
from stage3.stage import MOST_HOPS, Outcome, Stage
from stage3.store import Store

SEA = ["Captain Bell steered the ferry through fog.", "The ferry drifted past rocks."]
COAST = ["The ferry and its captain drifted in fog.", "Rocks lay ahead."]
KEYS = ["Clara hung every key in the museum.", "The piano opened."]


class Told(Feedback):
    """Keeps what it is told; or cannot, for a while."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1/events")
        self.events: list[Event] = []
        self.away = False

    def send(self, event: Event) -> None:
        if self.away:
            raise Undeliverable("away")
        self.events.append(event)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def stage(tmp_path: Path, told: Told) -> Stage:
    (tmp_path / "results").mkdir()
    return Stage(Store(tmp_path / "data"), told, tmp_path / "results")


def processed(stage: Stage, name: str, texts: list[str] | None, **more: Any) -> bytes:
    path = stage.results / f"{name}.jsonl"
    if texts is not None:
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    event = {
        "specversion": "1.0",
        "id": f"evt_{name}",
        "source": "stage2-nlp-processing",
        "type": "com.storytelling.nlp.document.processed",
        "subject": f"document/{name}",
        "data": {"document_id": name, "job_id": "job-1", "output_location": {"jsonl": path.as_uri()}},
        **more,
    }
    return json.dumps(event).encode()


def test_what_is_alike_is_near() -> None:
    sea, coast, keys = vector(SEA), vector(COAST), vector(KEYS)
    assert sea.shape == (DIMENSIONS,)
    assert np.linalg.norm(sea) == pytest.approx(1.0)
    assert float(sea @ coast) > float(sea @ keys) + 0.1


@pytest.mark.parametrize("texts", [[], [""], ["the of and", "…"]])
def test_nothing_has_no_vector(texts: list[str]) -> None:
    with pytest.raises(EmbeddingError, match="no words that mean anything"):
        vector(texts)


def test_a_document_is_embedded_once(stage: Stage) -> None:
    event = processed(stage, "sea", SEA)
    assert stage.receive(event) is Outcome.EMBEDDED
    assert stage.receive(event) is Outcome.REPEATED
    stage.receive(processed(stage, "coast", COAST))
    stage.receive(processed(stage, "keys", KEYS))
    assert stage.store.embedded()["sea"] > 0
    assert [name for name, _ in stage.store.nearest("sea")] == ["coast", "keys"]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "the output is missing"),
        (lambda path: path.write_text('{"text": "Cap'), "the output is damaged"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "the output is damaged"),
        (lambda path: path.write_text('{"other": 1}\n'), "the output is damaged"),
        (lambda path: path.write_text("[1]\n"), "the output is damaged"),
        (lambda path: path.write_text(""), "the output has no words that mean anything"),
    ],
)
def test_a_failure_is_told_to_stage_2(stage: Stage, told: Told, damage: Any, says: str) -> None:
    event = processed(stage, "sea", SEA, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    damage(stage.results / "sea.jsonl")
    assert stage.receive(event) is Outcome.REPORTED
    (answer,) = told.events
    assert (answer.type, answer.subject, answer.hops) == (EMBEDDING_FAILED, "document/sea", 1)
    assert answer.data["error"]["message"] == says
    assert answer.data["event"] == {"source": "stage2-nlp-processing", "id": "evt_sea"}
    assert answer.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert "Captain" not in answer.encode().decode()
    assert stage.receive(event) is Outcome.REPEATED
    assert len(told.events) == 1


def test_a_failure_that_cannot_be_told_leaves_the_event_where_it_is(stage: Stage, told: Told) -> None:
    event = processed(stage, "sea", None)
    told.away = True
    with pytest.raises(Undeliverable):
        stage.receive(event)
    told.away = False
    assert stage.receive(event) is Outcome.REPORTED
    # Were it told twice, it would be the same event: the id is made of what it answers.
    assert told.events[0].id == Event.model_validate_json(event).answered(EMBEDDING_FAILED, {}).id


@pytest.mark.parametrize(("hops", "told_it"), [(0, True), (MOST_HOPS - 1, True), (MOST_HOPS, False), ("x", False)])
def test_a_circle_is_left(stage: Stage, told: Told, hops: object, told_it: bool) -> None:
    outcome = stage.receive(processed(stage, "sea", None, hops=hops))
    assert outcome is (Outcome.REPORTED if told_it else Outcome.GIVEN_UP)
    assert len(told.events) == told_it
    if not told_it:
        assert "the output is missing; " in (stage.store.seen()[0].reason or "")


def test_what_the_host_will_never_take_is_given_up(stage: Stage, tmp_path: Path) -> None:
    """A real host with a limit of its own for chains of answers."""
    events = {"enabled": True, "backend": "local"}
    path = settings(tmp_path, events)
    path.write_text(path.read_text("utf-8").replace("host:\n", "host:\n  max_hops: 2\n"), "utf-8")
    with Host(tmp_path, path).run() as host:
        stage = Stage(stage.store, Feedback(host.url), stage.results)
        assert stage.receive(processed(stage, "first", None, hops=1)) is Outcome.REPORTED
        assert stage.receive(processed(stage, "second", None, hops=2)) is Outcome.GIVEN_UP
        assert [event["hops"] for event in host.journal()] == [2]
    reason = stage.store.seen()[-1].reason
    assert reason is not None
    assert reason.startswith("the output is missing; the host answered 422: ")
    assert "max_hops" in reason


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1/x", "file://{root}/../secret.jsonl", None, 3])
def test_an_event_cannot_make_it_read_what_are_no_results(stage: Stage, told: Told, url: object) -> None:
    url = url.format(root=stage.results) if isinstance(url, str) else url
    (stage.results.parent / "secret.jsonl").write_text('{"text": "secret words"}\n')
    body = json.loads(processed(stage, "sea", SEA))
    body["data"]["output_location"] = {"jsonl": url}
    assert stage.receive(json.dumps(body)) is Outcome.REPORTED
    with pytest.raises(EmbeddingError):
        embed(body["data"], stage.results)
    assert len(told.events) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"specversion": "0.3", "id": "1", "source": "s", "type": "t"}'])
def test_what_is_no_event_is_passed_by(stage: Stage, body: bytes) -> None:
    assert stage.receive(body) is Outcome.UNREADABLE


def test_other_events_are_passed_by(stage: Stage) -> None:
    assert stage.receive(processed(stage, "sea", SEA, type="com.storytelling.nlp.batch.started")) is Outcome.IGNORED
    assert stage.store.seen() == []


def test_a_broken_counter_counts_as_too_many() -> None:
    counters: list[object] = [2, "3", -1, []]
    events = [Event.model_validate({"id": "1", "source": "s", "type": "t", "hops": hops}) for hops in counters]
    assert [event.hops for event in events] == [2, 3, TOO_MANY, TOO_MANY]
