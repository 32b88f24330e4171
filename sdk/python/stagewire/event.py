"""The event: lent by the host for the length of a call, or made by hand in a test."""

from __future__ import annotations

import json
from typing import Any, Optional, Union

from . import wit
from .errors import Permanent

Value = Union[str, int, bool]
"""The value of an attribute. URIs, timestamps and binary values are text, as in JSON."""


class Event:
    """One CloudEvent. Each property reads from the host: what is not asked for is not copied."""

    __slots__ = ("raw",)

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    def id(self) -> str:
        return self.raw.id()

    @property
    def source(self) -> str:
        return self.raw.source()

    @property
    def type(self) -> str:
        return self.raw.kind()

    @property
    def subject(self) -> Optional[str]:
        return self.raw.subject()

    @property
    def time(self) -> Optional[str]:
        """RFC 3339."""
        return self.raw.time()

    @property
    def datacontenttype(self) -> Optional[str]:
        return self.raw.data_content_type()

    @property
    def dataschema(self) -> Optional[str]:
        return self.raw.data_schema()

    def __getitem__(self, name: str) -> Value:
        """Any attribute by its CloudEvents name; `KeyError` where there is none."""
        value = self.raw.attribute(name)
        if value is None:
            raise KeyError(name)
        return value.value

    def get(self, name: str, default: Any = None) -> Any:
        """Any attribute by its CloudEvents name, or `default`."""
        value = self.raw.attribute(name)
        return default if value is None else value.value

    def __contains__(self, name: str) -> bool:
        return self.raw.attribute(name) is not None

    @property
    def extensions(self) -> dict[str, Value]:
        """The extension attributes, sorted by name."""
        return {attribute.name: attribute.value.value for attribute in self.raw.extensions()}

    @property
    def data_length(self) -> Optional[int]:
        """The length of `data` in bytes, without copying it; `None` where the event has no data."""
        return self.raw.data_length()

    @property
    def data(self) -> bytes:
        """A copy of `data`; empty where there is none."""
        return self.raw.data()

    @property
    def text(self) -> Optional[str]:
        """`data` where it is UTF-8 text."""
        return self.raw.text()

    def json(self) -> Any:
        """`data` read as JSON. The error names the place, never the data."""
        try:
            return json.loads(self.raw.data())
        except json.JSONDecodeError as error:
            raise Permanent(f"data is not JSON: line {error.lineno}, column {error.colno}") from None
        except UnicodeDecodeError:
            raise Permanent("data is not JSON: it is not UTF-8") from None


def lower(value: Value) -> Any:
    """The interface's form of a value. `bool` first: in Python it is an `int`."""
    if isinstance(value, bool):
        return wit.event.Value_Boolean(value)
    if isinstance(value, int):
        return wit.event.Value_Integer(value)
    if isinstance(value, str):
        return wit.event.Value_Text(value)
    raise Permanent(f"an attribute is text, a number or true or false, not {type(value).__name__}")
