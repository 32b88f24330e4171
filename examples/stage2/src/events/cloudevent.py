"""CloudEvents 1.0, as Stage 2 writes and reads them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

SOURCE = "stage2-nlp-processing"

DOCUMENT_PROCESSED = "com.storytelling.nlp.document.processed"
DOCUMENT_FAILED = "com.storytelling.nlp.document.failed"
BATCH_STARTED = "com.storytelling.nlp.batch.started"
BATCH_COMPLETED = "com.storytelling.nlp.batch.completed"
EMBEDDING_FAILED = "com.storytelling.embedding.failed"

HOPS = "hops"
"""The extension attribute that counts how many events answered one another until this one came to be."""

REQUIRED = ("specversion", "id", "source", "type")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event with JSON data."""

    type: str
    subject: str
    data: Mapping[str, Any]
    source: str = SOURCE
    id: str = field(default_factory=lambda: f"evt_{uuid.uuid4().hex}")
    time: str = field(default_factory=lambda: timestamp())
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)

    @property
    def hops(self) -> int:
        """How many events answered one another until this one came to be; 0 for the first."""
        return hops(self.extensions.get(HOPS, 0))

    def encode(self) -> bytes:
        """Write it in the JSON event format.

        Raises:
            TypeError, ValueError: the data are no JSON.
        """
        document = {
            "specversion": "1.0",
            "type": self.type,
            "source": self.source,
            "id": self.id,
            "time": self.time,
            "datacontenttype": "application/json",
            "subject": self.subject,
            **self.extensions,
            "data": self.data,
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, body: bytes | str) -> CloudEvent:
        """Read one in the JSON event format.

        Raises:
            ValueError: it is none, or has no map as its data.
        """
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("an event is a JSON object")
        missing = [name for name in REQUIRED if not isinstance(document.get(name), str)]
        if missing:
            raise ValueError(f"the event has no {', '.join(missing)}")
        known = {*REQUIRED, "subject", "time", "datacontenttype", "dataschema", "data", "data_base64"}
        data = document.get("data")
        if not isinstance(data, dict):
            raise ValueError("the event's data are no JSON object")
        return cls(
            type=document["type"],
            source=document["source"],
            id=document["id"],
            subject=str(document.get("subject", "")),
            time=str(document.get("time", "")),
            data=data,
            extensions={name: value for name, value in document.items() if name not in known},
        )


def hops(value: object) -> int:
    """Read a hop counter. What is none counts as too many: a loop must not begin anew by a broken number."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and value >= 0 else 2**31 - 1


def derived_id(*parts: object) -> str:
    """Give an id that is the same for the same parts, so that work that is done again is no second event."""
    return f"evt_{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"


def timestamp(at: datetime | None = None) -> str:
    """RFC 3339, in UTC: `2025-12-14T12:00:00.123Z`."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
