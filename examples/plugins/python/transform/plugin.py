"""Stamps events with an extension attribute, and removes fields from JSON data."""

from dataclasses import dataclass, field

from stagewire import Emitter, Event, Permanent, Refused, Transform


@dataclass
class Settings:
    stamp: str
    remove: list[str] = field(default_factory=list)


class Stamp(Transform):
    def __init__(self, settings: Settings) -> None:
        if not settings.stamp:
            raise Refused("`stamp` is empty; write what the attribute shall say")
        self.settings = settings

    def apply(self, event: Event, out: Emitter) -> None:
        draft = out.edit(event)
        draft["stamp"] = self.settings.stamp
        if self.settings.remove and event.datacontenttype == "application/json":
            data = event.json()
            if not isinstance(data, dict):
                raise Permanent("data is not a JSON object")
            draft.set_json({name: value for name, value in data.items() if name not in self.settings.remove})
