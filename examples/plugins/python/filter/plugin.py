"""Keeps events whose type starts with a prefix and that have a subject."""

from dataclasses import dataclass

from stagewire import Drop, Event, Filter, Keep, Refused, Verdict


@dataclass
class Settings:
    prefix: str


class ByPrefix(Filter):
    def __init__(self, settings: Settings) -> None:
        if not settings.prefix:
            raise Refused("`prefix` is empty; leave the step out to keep every type")
        self.prefix = settings.prefix

    def keep(self, event: Event) -> Verdict:
        kind = event.type
        if not kind.startswith(self.prefix):
            return Drop(f"type {kind} does not start with {self.prefix}")
        if event.subject is None:
            return Drop("no subject")
        return Keep()
