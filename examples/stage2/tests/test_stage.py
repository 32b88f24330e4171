"""The language step, and what Stage 2 does around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from stage2.core.nlp import UnprocessableError, analyse
from stage2.core.stage import Stage
from stage2.core.store import Document, Store
from stage2.events.publisher import EventPublisher

if TYPE_CHECKING:
    from conftest import Receiver

STORIES = Path(__file__).parents[1] / "stories"


@pytest.fixture
def stage(receiver: Receiver, publisher_to: Callable[..., EventPublisher], tmp_path: Path) -> Stage:
    return Stage(Store(tmp_path), publisher_to(receiver.url))


def document(stage: Stage, name: str) -> Document:
    found = stage.store.document(name)
    assert found is not None
    return found


def test_a_sentence_tells_who_does_what_to_whom() -> None:
    analysis = analyse("Captain Bell carried the lantern. Nobody spoke. On Friday, Mrs. Amalia Stern met Bruno at two.")
    first, second, third = analysis.sentences
    assert first.triplets == [("Captain Bell", "carried", "lantern")]
    assert ("Captain Bell", "PERSON") in first.entities
    assert (second.actions, second.triplets) == (["spoke"], [])
    assert third.triplets[0][1:] == ("met", "Bruno")
    assert ("two", "NUMBER") in third.entities
    assert analysis.metrics == {"event_count": 3, "entity_count": 5, "soa_triplet_count": 2}


@pytest.mark.parametrize("path", sorted(STORIES.glob("*.md")), ids=lambda path: str(path.stem))
def test_stories_are_full_of_it(path: Path) -> None:
    metrics = analyse(path.read_text("utf-8")).metrics
    assert metrics["event_count"] >= 5
    assert metrics["entity_count"] >= 5
    assert metrics["soa_triplet_count"] >= 2


@pytest.mark.parametrize("text", ["", " \n", "… 42 !", "x " * 100_001])
def test_what_has_no_words_or_too_many_cannot_be_processed(text: str) -> None:
    with pytest.raises(UnprocessableError):
        analyse(text)


def test_a_document_is_processed_kept_and_published(stage: Stage, receiver: Receiver) -> None:
    stage.store.add_batch("job-1", [("doc-1", "Marta wrote the weather.")])
    metrics = stage.process(document(stage, "doc-1"))
    assert stage.publisher.flush(5)
    (event,) = receiver.events
    assert event["data"]["metrics"] == metrics
    lines = Path(urlsplit(event["data"]["output_location"]["jsonl"]).path).read_text("utf-8").splitlines()
    assert json.loads(lines[0])["triplets"] == [["Marta", "wrote", "weather"]]
    assert "Marta wrote" not in json.dumps(event)
    assert document(stage, "doc-1").status == "processed"


def test_doing_it_again_is_the_same_event(stage: Stage, receiver: Receiver) -> None:
    stage.store.add_batch("job-1", [("doc-1", "Marta wrote the weather.")])
    for retry_count in (0, 0, 1):
        stage.process(document(stage, "doc-1"), retry_count=retry_count)
    assert stage.publisher.flush(5)
    ids = [event["id"] for event in receiver.events]
    assert ids[0] == ids[1] != ids[2]


def test_what_cannot_be_processed_is_published_with_the_reason(stage: Stage, receiver: Receiver) -> None:
    stage.store.add_batch("job-1", [("doc-1", "…")])
    with pytest.raises(UnprocessableError):
        stage.process(document(stage, "doc-1"))
    assert stage.publisher.flush(5)
    (event,) = receiver.events
    assert event["type"] == "com.storytelling.nlp.document.failed"
    assert event["data"]["error"]["message"] == "it has no words"
    assert (document(stage, "doc-1").status, document(stage, "doc-1").reason) == ("failed", "it has no words")


def test_a_batch_begins_and_ends_once(stage: Stage, receiver: Receiver) -> None:
    documents = [("doc-1", "Marta wrote the weather."), ("doc-2", "…")]
    assert stage.start_batch("job-1", documents)
    assert not stage.start_batch("job-1", documents)
    stage.process(document(stage, "doc-1"))
    assert stage.finish_batch("job-1") is None
    with pytest.raises(UnprocessableError):
        stage.process(document(stage, "doc-2"))
    assert stage.finish_batch("job-1") is not None
    assert stage.finish_batch("job-1") is None
    assert stage.publisher.flush(5)
    kinds = [event["type"].removeprefix("com.storytelling.nlp.") for event in receiver.events]
    assert kinds == ["batch.started", "batch.started", "document.processed", "document.failed", "batch.completed"]
    assert receiver.events[0]["id"] == receiver.events[1]["id"]
    data = receiver.events[-1]["data"]
    assert (data["total_documents"], data["successful"], data["failed"]) == (2, 1, 1)
    assert data["aggregate_metrics"]["total_events"] == 1
