"""What Stage 2 makes of `com.storytelling.embedding.failed`: once more, or not, and never for ever."""

from __future__ import annotations

from dataclasses import dataclass

from ..events.cloudevent import CloudEvent

RETRIES = 3
"""How often a document is processed again because a later stage could do nothing with the results."""
MOST_HOPS = 8
"""Events in one chain of answers; a chain that is longer goes in a circle, whoever turns it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Process the document once more."""

    retry_count: int
    hops: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Process it no more."""

    reason: str
    hops: int


def decide(
    event: CloudEvent, retry_count: int, *, retries: int = RETRIES, most_hops: int = MOST_HOPS
) -> Again | GiveUp:
    """Decide by the tries so far and the hops of the event; the answer is one hop further."""
    error = event.data.get("error")
    why = str(error.get("message") if isinstance(error, dict) else error)[:200]
    hops = event.hops + 1
    if hops > most_hops:
        return GiveUp(f"embedding failed, and {event.hops} events answered one another already: {why}", most_hops + 1)
    if retry_count >= retries:
        return GiveUp(f"embedding failed after {retry_count} retries: {why}", hops)
    return Again(retry_count + 1, hops)
