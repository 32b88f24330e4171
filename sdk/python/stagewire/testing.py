"""For a plugin's own tests: events made by hand, and what a transform hands out. No WebAssembly is needed.

    def test_little_data_is_dropped():
        assert OnlyLarge(Settings(least=10)).keep(event(data={})) == Drop("too small")
"""

from __future__ import annotations

import json
from typing import Any

from . import stand_in
from .emitter import Emitter
from .event import Event, Value, lower
from .export import configured
from .plugin import Transform

__all__ = ["apply", "configured", "event", "forget_state"]


def event(data: Any = None, **attributes: Value) -> Event:
    """An event: `id` is `1`, `source` is `/test`, `type` is `test`, where nothing else is said.

    `data` is bytes or text as it is, anything else is written as JSON, with its `datacontenttype`.
    """
    named: dict[str, Value] = {"id": "1", "source": "/test", "type": "test"}
    if isinstance(data, str):
        data = data.encode()
    elif data is not None and not isinstance(data, bytes):
        named["datacontenttype"] = "application/json"
        data = json.dumps(data).encode()
    raw = {name: lower(value) for name, value in (named | attributes).items()}
    return Event(stand_in.RawEvent(raw, data))


def apply(transform: Transform, given: Event) -> list[Event]:
    """The events that a transform hands out for one, in order."""
    raw = stand_in.RawEmitter()
    transform.apply(given, Emitter(raw))
    return [Event(handed) for handed in raw.handed]


def forget_state() -> None:
    """Empties the step's state, as it is before the first event."""
    stand_in.keyvalue.values.clear()
