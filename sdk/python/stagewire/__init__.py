"""Write a Stagewire plugin in Python: one class, tested without WebAssembly.

    from dataclasses import dataclass
    from stagewire import Drop, Event, Filter, Keep, Verdict

    @dataclass
    class Settings:
        least: int

    class OnlyLarge(Filter):
        def __init__(self, settings: Settings) -> None:
            self.least = settings.least

        def keep(self, event: Event) -> Verdict:
            if (event.data_length or 0) < self.least:
                return Drop("too small")
            return Keep()

`stagewire plugin build` makes a component of it; `stagewire.testing` stands in for the host in tests.
"""

from .emitter import Draft, Emitter, NewEvent
from .errors import Permanent, Refused, Transient
from .event import Event, Value
from .host import Level, count, log, now, observe
from .plugin import Drop, Filter, Keep, Transform, Verdict

__all__ = [
    "Draft",
    "Drop",
    "Emitter",
    "Event",
    "Filter",
    "Keep",
    "Level",
    "NewEvent",
    "Permanent",
    "Refused",
    "Transform",
    "Transient",
    "Value",
    "Verdict",
    "count",
    "log",
    "now",
    "observe",
]
