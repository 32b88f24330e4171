"""What a plugin is, and what it may say of an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from .emitter import Emitter
from .event import Event


@dataclass(frozen=True)
class Keep:
    """The event goes on."""


@dataclass(frozen=True)
class Drop:
    """The event is dropped, with the reason that logs and provenance show."""

    reason: str


Verdict = Union[Keep, Drop]


class Filter:
    """Keeps or drops events. `__init__` takes the step's settings: annotate its parameter with a dataclass, and wrong
    keys and types are refused by name before it is called."""

    def keep(self, event: Event) -> Verdict:
        """Decides on one event."""
        raise NotImplementedError


class Transform:
    """Hands out any number of events for one. `__init__` is as in `Filter`."""

    def apply(self, event: Event, out: Emitter) -> None:
        """Hands events to `out`; none drops the event. What was handed out before an exception is discarded."""
        raise NotImplementedError
