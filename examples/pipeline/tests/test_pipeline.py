"""The pipeline as a whole: the story that the demo tells, and the campaign of faults."""

from __future__ import annotations

from collections.abc import Iterator

import campaign
import demo
import pytest
from parts import Pipeline
from report import EMBEDDING_FAILED, FAILED, PROCESSED, report

STARTED = "com.storytelling.nlp.batch.started"
COMPLETED = "com.storytelling.nlp.batch.completed"


@pytest.fixture
def pipeline() -> Iterator[Pipeline]:
    with Pipeline() as pipeline:
        yield pipeline


def test_stage_3_breaks_and_stage_2_mends_it(pipeline: Pipeline) -> None:
    lines: list[str] = []
    demo.run(pipeline, lines.append)
    first, second = report(pipeline, "job-1"), report(pipeline, "job-2")
    assert first.outcomes() == {"embedded": 6}
    fates = {fate.document_id: fate for fate in second.fates}
    assert {name: fate.outcome for name, fate in fates.items()} == {
        "the-ferry-again": "embedded",
        "the-scale-again": "embedded",
        "nothing-to-say": "dead-lettered",
        "no-words": "dead-lettered",
    }
    mended = [(event["type"], event.get("hops", 0)) for event in fates["the-ferry-again"].events]
    assert mended == [(PROCESSED, 0), (EMBEDDING_FAILED, 1), (PROCESSED, 2)]
    # One trace from the batch to the mended document.
    assert len({event["traceparent"][3:35] for event in fates["the-ferry-again"].events}) == 1
    never = fates["nothing-to-say"]
    assert (never.count(PROCESSED), never.count(EMBEDDING_FAILED), never.count(FAILED)) == (4, 4, 1)
    assert [event.get("hops", 0) for event in never.events] == list(range(9))
    assert never.reason == "embedding failed after 3 retries: the output has no words that mean anything"
    assert fates["no-words"].reason == "it has no words"
    assert any("stage3: reported, the output is damaged" in line for line in lines)
    assert any("route failures-to-stage2 → stage2" in line and "status 204" in line for line in lines)


def test_each_document_is_embedded_once_or_given_up_with_a_reason(pipeline: Pipeline) -> None:
    outcome = campaign.run(pipeline, print)
    print("\n".join(outcome.report.lines()))
    assert len(outcome.report.fates) == campaign.DOCUMENTS
    assert len(outcome.damaged) == campaign.DAMAGED
    given_up = campaign.UNPROCESSABLE + campaign.MEANINGLESS
    assert outcome.report.outcomes() == {
        "embedded": campaign.DOCUMENTS - given_up,
        "dead-lettered": given_up,
    }
    for fate in outcome.report.fates:
        kinds = (fate.count(PROCESSED), fate.count(EMBEDDING_FAILED), fate.count(FAILED))
        if fate.document_id in outcome.unprocessable:
            assert (kinds, fate.reason) == ((0, 0, 1), "it has no words")
        elif fate.document_id in outcome.meaningless:
            assert kinds == (4, 4, 1)
            assert "embedding failed after 3 retries" in (fate.reason or "")
        elif fate.document_id in outcome.damaged:
            assert kinds == (2, 1, 0)
        else:
            assert kinds == (1, 0, 0)
    assert outcome.report.batch == {STARTED: 1, COMPLETED: 1}
    assert outcome.report.dead_letters == []
