"""CloudEvents, as Stage 3 reads and writes them: structured mode, JSON data."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .tracing import current

SOURCE = "stage3-embedding"
DOCUMENT_PROCESSED = "com.storytelling.nlp.document.processed"
EMBEDDING_FAILED = "com.storytelling.embedding.failed"

TOO_MANY = 2**31 - 1


class Event(BaseModel):
    """One event; extension attributes are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = "application/json"
    data: dict[str, Any] = Field(default_factory=dict)
    traceparent: str | None = None
    tracestate: str | None = None
    hops: int = 0
    """How many events answered one another until this one came to be."""

    @field_validator("hops", mode="before")
    @classmethod
    def _counted(cls, value: object) -> int:
        """Read a hop counter. What is none counts as too many: a loop must not begin anew by a broken number."""
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        return value if isinstance(value, int) and value >= 0 else TOO_MANY

    def answered(self, type: str, data: dict[str, Any]) -> Event:
        """Make the event that answers this one, one hop further; the same each time, by its id."""
        # It begins in the span of the work that failed; without one it is of the trace of its cause.
        trace = current() or self.trace()
        cause = hashlib.sha256(f"{type}\0{self.source}\0{self.id}".encode()).hexdigest()[:32]
        return Event(
            id=f"evt_{cause}",
            source=SOURCE,
            type=type,
            subject=self.subject,
            time=now(),
            data=data,
            traceparent=trace.get("traceparent"),
            tracestate=trace.get("tracestate"),
            hops=self.hops + 1,
        )

    def trace(self) -> dict[str, str]:
        """Give what the event says of its trace, by name."""
        found = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: text for name, text in found.items() if text is not None}

    def encode(self) -> bytes:
        """Write it in the JSON event format."""
        return self.model_dump_json(exclude_none=True).encode()


def now() -> str:
    """RFC 3339, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
