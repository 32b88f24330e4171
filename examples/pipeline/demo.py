"""The pipeline as a story: it runs, Stage 3 breaks, and Stage 2 mends it."""

from __future__ import annotations

from collections.abc import Callable

from parts import Pipeline, stories
from report import report, way

from rig.processes import until
from stage3.store import Store

Say = Callable[[str], None]


def run(pipeline: Pipeline, say: Say) -> None:
    """Tell it, with the parts that are there."""
    texts = stories()
    names = list(texts)
    say(f"Redis, host, Stage 2 (service, worker) and Stage 3 run; their logs are in {pipeline.directory}\n")

    say(f"1. {len(texts)} stories go in as one batch")
    pipeline.service.start_batch("job-1", texts)
    until("all are embedded", lambda: pipeline.is_settled("job-1"))
    _show(pipeline, say, "job-1", ways=2)
    say(f"\n   most like {names[0]}:")
    for name, likeness in Store(pipeline.stage3.data).nearest(names[0]):
        say(f"     {likeness:.3f}  {name}")

    say("\n2. Stage 3 is stopped; four more documents go in; the results of one are damaged before Stage 3 reads them")
    pipeline.stage3.stop()
    more = {
        "the-ferry-again": texts["the-night-ferry"],
        "the-scale-again": texts["the-honest-scale"],
        "nothing-to-say": "It is what it is, and so it was. They would have been there, and then not.",
        "no-words": "… 42 …",
    }
    pipeline.service.start_batch("job-2", more)
    until("Stage 2 is done", lambda: pipeline.service.batch("job-2")["completed_at"])
    path = pipeline.results / "the-ferry-again.jsonl"
    path.write_bytes(path.read_bytes()[:-100])

    say("   Stage 3 starts again: it fails, says so, and Stage 2 processes again what it was told of\n")
    pipeline.stage3.start()
    until("all are settled", lambda: pipeline.is_settled("job-2"))
    _show(pipeline, say, "job-2", ways=4)


def _show(pipeline: Pipeline, say: Say, job_id: str, ways: int) -> None:
    found = report(pipeline, job_id)
    for line in found.lines():
        say(f"   {line}")
    shown = [event["id"] for fate in found.fates[:ways] for event in fate.events]
    until("the host has delivered them", lambda: all(map(pipeline.host.explain, shown)))
    for fate in found.fates[:ways]:
        say("")
        for line in way(pipeline, fate):
            say(f"   {line}")
