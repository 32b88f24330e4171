"""200 documents in one batch, while everything goes wrong: each is embedded once, or given up with a reason."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from parts import Pipeline, stories
from report import Report, report

from rig.processes import until

DOCUMENTS = 200
UNPROCESSABLE = 8
"""Stage 2 can do nothing with them: they have no words."""
MEANINGLESS = 4
"""Stage 3 never can: they have only words that mean nothing by themselves."""
DAMAGED = 8
"""Stage 3 cannot at first: their results are damaged before it reads them."""
JOB = "job-campaign"
PATIENCE = 180.0
EVERY = 0.1
"""Seconds between two looks: looking is work for the parts, too."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the campaign showed."""

    report: Report
    damaged: frozenset[str]
    unprocessable: frozenset[str]
    meaningless: frozenset[str]


def documents(count: int = DOCUMENTS) -> dict[str, str]:
    """Make documents: two stories each, some without words, some without meaning."""
    texts = list(stories().values())
    made = {}
    for number in range(count):
        made[f"story-{number:03}"] = f"{texts[number % len(texts)]}\n\n{texts[number * 5 % len(texts)]}"
    for number in range(UNPROCESSABLE):
        made[f"story-{number * 7 + 3:03}"] = "… 42 …"
    for number in range(MEANINGLESS):
        made[f"story-{number * 7 + 6:03}"] = (
            "It is what it is, and so it was. They would have been there, and then not."
        )
    return made


def run(pipeline: Pipeline, say: Say, count: int = DOCUMENTS) -> Outcome:
    """Feed them, break one part after the other, and wait until nothing is owed any more."""
    fed = documents(count)
    pipeline.service.start_batch(JOB, fed)
    say(f"{count} documents handed in as {JOB}")

    _processed(pipeline, count // 8)
    pipeline.worker.kill()
    say("the Celery worker was killed, with all of its processes; another one starts")
    pipeline.worker.run()

    _processed(pipeline, count // 4)
    os.kill(pipeline.worker.children()[0], signal.SIGKILL)
    say("one process of the Celery worker was killed")

    _processed(pipeline, count // 3)
    pipeline.stage3.kill()
    say("Stage 3 was killed")
    pipeline.host.kill()
    say("the host was killed; Stage 2 goes on")

    before = _done(pipeline)
    _processed(pipeline, min(count, before + count // 8))
    pipeline.host.run()
    say("the host is back")

    damaged = _damage(pipeline)
    say(f"the results of {len(damaged)} documents were damaged, unseen by Stage 3")
    pipeline.stage3.start()
    say("Stage 3 is back")

    until("every document is settled", lambda: pipeline.is_settled(JOB), PATIENCE, EVERY)
    until("the batch is complete", lambda: pipeline.service.batch(JOB)["completed_at"], PATIENCE, EVERY)
    until("the host has the end of the batch", lambda: _has_end(pipeline), PATIENCE, EVERY)
    wordless = frozenset(name for name, text in fed.items() if text.startswith("…"))
    meaningless = frozenset(name for name, text in fed.items() if text.startswith("It is what"))
    return Outcome(report(pipeline, JOB), damaged, wordless, meaningless)


def _done(pipeline: Pipeline) -> int:
    return sum(entry["status"] != "waiting" for entry in pipeline.statuses(JOB).values())


def _processed(pipeline: Pipeline, count: int) -> None:
    until(f"Stage 2 has processed {count} documents", lambda: _done(pipeline) >= count, PATIENCE, EVERY)


def _damage(pipeline: Pipeline) -> frozenset[str]:
    """Cut results that Stage 3 has not read, as a disk that fills up would."""
    known = {seen.document_id for seen in pipeline.seen()}
    unseen = (
        name
        for name, entry in pipeline.statuses(JOB).items()
        if entry["status"] == "processed"
        and name not in known
        and len(pipeline.results.joinpath(f"{name}.jsonl").read_text()) > 1_000
    )
    damaged = frozenset(islice(unseen, DAMAGED))
    for name in damaged:
        path = pipeline.results / f"{name}.jsonl"
        path.write_bytes(path.read_bytes()[:-100])
    return damaged


def _has_end(pipeline: Pipeline) -> bool:
    kinds = [event["type"] for event in pipeline.host.journal()]
    return "com.storytelling.nlp.batch.completed" in kinds
