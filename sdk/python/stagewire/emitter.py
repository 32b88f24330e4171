"""How a transform hands its events out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Optional

from . import wit
from .errors import Permanent
from .event import Event, Value, lower


@dataclass
class NewEvent:
    """An event made from nothing; `specversion` is the host's."""

    id: str
    source: str
    type: str
    subject: Optional[str] = None
    time: Optional[str] = None
    datacontenttype: Optional[str] = None
    dataschema: Optional[str] = None
    extensions: dict[str, Value] = field(default_factory=dict)
    data: Optional[bytes] = None


class Draft:
    """A copy of an event that may be changed until the call ends. What is not set stays the host's own bytes."""

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def __setitem__(self, name: str, value: Value) -> None:
        """Sets an attribute by its CloudEvents name (`type`, `subject`, an extension …)."""
        _attempt(self.raw.set, name, lower(value))

    def __delitem__(self, name: str) -> None:
        """Removes an optional attribute."""
        _attempt(self.raw.remove, name)

    def set_data(self, data: bytes) -> None:
        """Replaces `data` and keeps `datacontenttype`."""
        self.raw.set_data(data)

    def set_text(self, text: str) -> None:
        """Replaces `data` by text and keeps `datacontenttype`."""
        self.raw.set_text(text)

    def set_json(self, value: Any) -> None:
        """Replaces `data` by JSON and keeps `datacontenttype`."""
        self.raw.set_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def remove_data(self) -> None:
        """Removes `data`."""
        self.raw.remove_data()


class Emitter:
    """Takes the events that come out of a call: none drops the event, several split it. They leave in this order."""

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def pass_on(self, event: Event) -> None:
        """Hands the event on as it is."""
        getattr(self.raw, PASS)(event.raw)

    def edit(self, event: Event) -> Draft:
        """Hands on a copy that may still be changed until the call ends."""
        return Draft(self.raw.edit(event.raw))

    def emit(self, event: NewEvent) -> None:
        """Hands a new event on."""
        extensions = [wit.event.Attribute(name, lower(value)) for name, value in event.extensions.items()]
        core = (event.id, event.source, event.type, event.subject, event.time)
        new = wit.emitting.NewEvent(*core, event.datacontenttype, event.dataschema, extensions, event.data)
        _attempt(self.raw.emit, new)


# `pass` is a word of Python's own; the generator writes an underscore behind it.
PASS = "pass_"


def _attempt(call: Any, *arguments: Any) -> None:
    try:
        call(*arguments)
    except wit.Err as error:
        raise Permanent(error.value) from None
