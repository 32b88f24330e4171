"""What became of each document, and the way of each of its events, from what the parts themselves kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from parts import Pipeline

from stage3.store import Seen

PROCESSED = "com.storytelling.nlp.document.processed"
FAILED = "com.storytelling.nlp.document.failed"
EMBEDDING_FAILED = "com.storytelling.embedding.failed"


@dataclass(slots=True)
class Fate:
    """One document."""

    document_id: str
    status: str = "missing"
    reason: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    """What the host took of it, each id once."""
    repeated: int = 0
    """What it took again, with an id that it had taken."""
    seen: list[Seen] = field(default_factory=list)

    @property
    def embeddings(self) -> int:
        """How often Stage 3 embedded it: once, if all is well."""
        return sum(seen.outcome == "embedded" for seen in self.seen)

    @property
    def retries(self) -> int:
        """How often Stage 2 processed it again because Stage 3 had failed."""
        return max(0, self.count(PROCESSED) - 1)

    @property
    def outcome(self) -> str:
        """`embedded`, or `dead-lettered` with a reason; anything else is a fault of the pipeline."""
        if self.status == "processed" and self.embeddings == 1:
            return "embedded"
        if self.status == "failed" and self.reason and self.count(FAILED) == 1 and self.embeddings == 0:
            return "dead-lettered"
        return "LOST"

    def count(self, kind: str) -> int:
        """Give how many of its events are of a type."""
        return sum(event["type"] == kind for event in self.events)

    def line(self) -> str:
        """Say it in one line."""
        again = f" after {self.retries} {'retry' if self.retries == 1 else 'retries'}" if self.retries else ""
        why = f": {self.reason}" if self.reason else ""
        twice = f" ({self.repeated} events came twice)" if self.repeated else ""
        return f"{self.document_id:<28} {self.outcome}{again}{why}{twice}"


@dataclass(frozen=True, slots=True)
class Report:
    """A batch, and everything of it."""

    fates: list[Fate]
    batch: dict[str, int]
    """How many events of each other type there are, each id once."""
    dead_letters: list[dict[str, Any]]

    def outcomes(self) -> dict[str, int]:
        """Count the documents by outcome."""
        counts: dict[str, int] = defaultdict(int)
        for fate in self.fates:
            counts[fate.outcome] += 1
        return dict(counts)

    def lines(self) -> Iterable[str]:
        """Give a line for each document."""
        return (fate.line() for fate in self.fates)


def report(pipeline: Pipeline, job_id: str) -> Report:
    """Put together what Stage 2, the host's journal and Stage 3 have of a batch."""
    fates = {name: Fate(name, entry["status"], entry["reason"]) for name, entry in pipeline.statuses(job_id).items()}
    batch: dict[str, int] = defaultdict(int)
    ids: set[tuple[str, str]] = set()
    for event in pipeline.host.journal():
        if event["data"].get("job_id") != job_id:
            continue
        key = (event["source"], event["id"])
        fate = fates.get(event["data"].get("document_id", ""))
        if key in ids:
            if fate is not None:
                fate.repeated += 1
            continue
        ids.add(key)
        if fate is None:
            batch[event["type"]] += 1
        else:
            fate.events.append(event)
    for seen in pipeline.seen():
        if seen.document_id in fates:
            fates[seen.document_id].seen.append(seen)
    return Report(list(fates.values()), dict(batch), pipeline.host.dead_letters())


def way(pipeline: Pipeline, fate: Fate) -> Iterable[str]:
    """Show the way of each event of a document: who sent it, when, where the host brought it, what came of it."""
    seen = {(each.source, each.id): each for each in fate.seen}
    yield f"{fate.document_id}: {fate.outcome}"
    for event in fate.events:
        kind = event["type"].removeprefix("com.storytelling.")
        trace = event.get("traceparent", "-" * 36)[3:11]
        hops = event.get("hops", 0)
        yield f"  {event['time'][11:23]}  {kind:<24} by {event['source']:<22} hops {hops}  trace {trace}…"
        for delivery in pipeline.host.explain(event["id"]):
            where = f"route {delivery['route']} → {delivery['backend']}"
            yield f"  {'':12}    {where}, {delivery['latency_ms']} ms, {delivery['receipt']}"
        if after := seen.get((event["source"], event["id"])):
            yield f"  {after.at[11:23]}    stage3: {after.outcome}{f', {after.reason}' if after.reason else ''}"
