"""What Stage 3 does with an event, whichever backend brings it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from .embedding import EmbeddingError, embed
from .event import DOCUMENT_PROCESSED, EMBEDDING_FAILED, Event
from .feedback import Feedback, RefusedError
from .store import Store
from .tracing import Headers, going_on

logger = logging.getLogger(__name__)

MOST_HOPS = 8
"""Events in one chain of answers; a chain that is longer goes in a circle, and is not made longer here."""


class Outcome(StrEnum):
    """How it went; in each of these cases the event need not come again."""

    EMBEDDED = "embedded"
    REPORTED = "reported"
    GIVEN_UP = "given up"
    REPEATED = "repeated"
    IGNORED = "ignored"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where vectors are kept, where results are read, and where failures are told."""

    store: Store
    feedback: Feedback
    results: Path

    def receive(self, body: bytes | str, headers: Headers | None = None) -> Outcome:
        """Deal with one event, once, however often it comes. `headers` are those of its transport.

        Raises:
            Undeliverable: the failure could not be told; do not acknowledge the event, it must come again.
        """
        try:
            event = Event.model_validate_json(body)
        except ValidationError as error:
            logger.warning("an event cannot be read: %s", error.errors(include_input=False)[0]["msg"])
            return Outcome.UNREADABLE
        if event.type != DOCUMENT_PROCESSED:
            return Outcome.IGNORED
        if self.store.was_seen(event):
            return Outcome.REPEATED
        with going_on(event, headers or {}):
            return self._embed(event)

    def _embed(self, event: Event) -> Outcome:
        begin = time.perf_counter()
        try:
            vector = embed(event.data, self.results)
        except EmbeddingError as error:
            return self._failed(event, str(error))
        seconds = time.perf_counter() - begin
        kept = self.store.keep(event, vector, seconds)
        logger.info("embedded %s in %.1f ms", event.data.get("document_id"), seconds * 1_000)
        return Outcome.EMBEDDED if kept else Outcome.REPEATED

    def _failed(self, event: Event, reason: str) -> Outcome:
        """Tell Stage 2, and only then note it: between the two the event comes again, and so does the same answer."""
        logger.warning("cannot embed %s: %s", event.data.get("document_id"), reason)
        if event.hops + 1 > MOST_HOPS:
            return self._given_up(event, f"{reason}; {event.hops} events answered one another already")
        data = {
            "document_id": event.data.get("document_id"),
            "job_id": event.data.get("job_id"),
            "status": "failed",
            "error": {"type": "EmbeddingError", "message": reason},
            "event": {"source": event.source, "id": event.id},
        }
        try:
            self.feedback.send(event.answered(EMBEDDING_FAILED, data))
        except RefusedError as error:
            # Coming again would not help.
            return self._given_up(event, f"{reason}; {error}")
        self.store.note(event, Outcome.REPORTED, reason)
        return Outcome.REPORTED

    def _given_up(self, event: Event, reason: str) -> Outcome:
        logger.error("given up %s: %s", event.data.get("document_id"), reason)
        self.store.note(event, Outcome.GIVEN_UP, reason)
        return Outcome.GIVEN_UP
