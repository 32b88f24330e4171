"""What stands in for the generated interface where no host is: the same names, in plain Python."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from enum import Enum
from types import SimpleNamespace
from typing import Any, Optional


class Err(Exception):
    """An error of the interface."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Integer:
    value: int


@dataclass(frozen=True)
class Boolean:
    value: bool


@dataclass
class Attribute:
    name: str
    value: Any


CORE = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")


@dataclass
class RawEvent:
    """An event by its attributes and data."""

    attributes: dict[str, Any]
    bytes: Optional[bytes] = None

    def attribute(self, name: str) -> Any:
        return self.attributes.get(name)

    def extensions(self) -> list[Attribute]:
        return [Attribute(name, value) for name, value in sorted(self.attributes.items()) if name not in CORE]

    def data_length(self) -> Optional[int]:
        return None if self.bytes is None else len(self.bytes)

    def data(self) -> bytes:
        return self.bytes or b""

    def text(self) -> Optional[str]:
        try:
            return None if self.bytes is None else self.bytes.decode()
        except UnicodeDecodeError:
            return None

    def _core(self, name: str) -> Any:
        value = self.attributes.get(name)
        return None if value is None else value.value

    def id(self) -> str:
        return self._core("id")

    def source(self) -> str:
        return self._core("source")

    def kind(self) -> str:
        return self._core("type")

    def subject(self) -> Optional[str]:
        return self._core("subject")

    def time(self) -> Optional[str]:
        return self._core("time")

    def data_content_type(self) -> Optional[str]:
        return self._core("datacontenttype")

    def data_schema(self) -> Optional[str]:
        return self._core("dataschema")


class RawDraft:
    """A changed copy in the making."""

    def __init__(self, event: RawEvent) -> None:
        self.event = replace(event, attributes=dict(event.attributes))

    def set(self, name: str, value: Any) -> None:
        if name == "specversion" or not (name.isascii() and name.isalnum() and name == name.lower()):
            raise Err(f"`{name}` is no attribute that can be set")
        self.event.attributes[name] = value

    def remove(self, name: str) -> None:
        if name in ("id", "source", "type", "specversion"):
            raise Err(f"`{name}` is required")
        self.event.attributes.pop(name, None)

    def set_data(self, data: bytes) -> None:
        self.event.bytes = data

    def set_text(self, data: str) -> None:
        self.event.bytes = data.encode()

    def remove_data(self) -> None:
        self.event.bytes = None


@dataclass
class NewEvent:
    id: str
    source: str
    kind: str
    subject: Optional[str]
    time: Optional[str]
    data_content_type: Optional[str]
    data_schema: Optional[str]
    extensions: list[Attribute]
    data: Optional[bytes]


class RawEmitter:
    """Notes what is handed out."""

    def __init__(self) -> None:
        self.handed: list[RawEvent] = []

    def pass_(self, event: RawEvent) -> None:
        self.handed.append(event)

    def edit(self, event: RawEvent) -> RawDraft:
        draft = RawDraft(event)
        self.handed.append(draft.event)
        return draft

    def emit(self, new: NewEvent) -> None:
        core = (new.id, new.source, new.kind, new.subject, new.time, new.data_content_type, new.data_schema)
        attributes = {name: Text(value) for name, value in zip(CORE, core) if value is not None}
        attributes |= {attribute.name: attribute.value for attribute in new.extensions}
        self.handed.append(RawEvent(attributes, new.data))


class Level(Enum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


class TooLarge:
    """A key or value is too large."""


class State:
    """The step's state, in memory. Times do not pass in it; every claim is another event's."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def get(self, key: str) -> Optional[bytes]:
        return self.values.get(key)

    def set(self, key: str, value: bytes, expires_after: Optional[int]) -> None:
        if len(key.encode()) > 1 << 10 or len(value) > 1 << 16:
            raise Err(TooLarge())
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)

    def compare_and_swap(
        self, key: str, expected: Optional[bytes], value: bytes, expires_after: Optional[int]
    ) -> bool:
        if self.values.get(key) != expected:
            return False
        self.set(key, value, expires_after)
        return True

    def claim(self, key: str, expires_after: Optional[int]) -> bool:
        return self.compare_and_swap(key, None, b"", expires_after)

    Error_TooLarge = TooLarge


event = SimpleNamespace(Attribute=Attribute, Value_Text=Text, Value_Integer=Integer, Value_Boolean=Boolean)
emitting = SimpleNamespace(NewEvent=NewEvent)
host = SimpleNamespace(
    Level=Level,
    log=lambda level, message: print(f"{level.name.lower()}: {message}", file=sys.stderr),
    count=lambda name, by: None,
    observe=lambda name, value: None,
    now=time.time_ns,
)
keyvalue = State()
