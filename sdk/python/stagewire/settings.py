"""From the step's `settings:` to the dataclass that a plugin's `__init__` is annotated with, and to its JSON Schema."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import types
import typing
from typing import Any, Optional

from .errors import Refused

NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
WORDS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}


def shape(plugin: type) -> Any:
    """What a plugin's `__init__` takes: a dataclass, `dict`, or `None` where it takes nothing."""
    parameters = list(inspect.signature(plugin.__init__).parameters.values())[1:]  # type: ignore[misc]
    if plugin.__init__ is object.__init__ or not parameters:  # type: ignore[misc]
        return None
    return typing.get_type_hints(plugin.__init__).get(parameters[0].name, dict)  # type: ignore[misc]


def parse(text: str, wanted: Any) -> Any:
    """The settings as `wanted`; `Refused` names the key that is wrong."""
    return _fit(json.loads(text), wanted, "settings")


def schema(wanted: Any) -> dict[str, Any]:
    """The JSON Schema of a type."""
    if wanted is None:
        return {"type": "object", "additionalProperties": False, "properties": {}}
    if dataclasses.is_dataclass(wanted):
        fields = _fields(wanted)
        properties = {name: schema(kind) for name, (kind, _) in fields.items()}
        required = [name for name, (_, is_required) in fields.items() if is_required]
        return {"type": "object", "additionalProperties": False, "properties": properties, "required": required}
    inner = _inner(wanted)
    if _optional(wanted) is not None:
        return {"anyOf": [schema(_optional(wanted)), {"type": "null"}]}
    if _name(wanted) == "array" and inner:
        return {"type": "array", "items": schema(inner[0])}
    if _name(wanted) == "object" and len(inner) == 2:
        return {"type": "object", "additionalProperties": schema(inner[1])}
    name = _name(wanted)
    return {"type": name} if name else {}


def _fit(value: Any, wanted: Any, where: str) -> Any:
    if wanted is None:
        return _fit_fields(value, {}, dict, where)
    if dataclasses.is_dataclass(wanted):
        return _fit_fields(value, _fields(wanted), wanted, where)
    if _optional(wanted) is not None:
        return None if value is None else _fit(value, _optional(wanted), where)
    name, inner = _name(wanted), _inner(wanted)
    if name is None:
        return value
    if not _is(value, name):
        raise Refused(f"`{where}`: {WORDS.get(name, 'an ' + name)} was expected, not {_called(value)}")
    if name == "array" and inner:
        return [_fit(item, inner[0], f"{where}[{index}]") for index, item in enumerate(value)]
    if name == "object" and len(inner) == 2:
        return {key: _fit(item, inner[1], f"{where}.{key}") for key, item in value.items()}
    return value


def _fit_fields(value: Any, fields: dict[str, tuple[Any, bool]], make: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise Refused(f"`{where}`: an object was expected, not {_called(value)}")
    for key in value:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise Refused(f"unknown field `{key}`{hint}")
    for name, (_, required) in fields.items():
        if required and name not in value:
            raise Refused(f"missing field `{name}`")
    return make(**{key: _fit(item, fields[key][0], key) for key, item in value.items()})


def _fields(wanted: Any) -> dict[str, tuple[Any, bool]]:
    """By name: the type, and whether it must be given."""
    hints = typing.get_type_hints(wanted)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(wanted)
    }


def _optional(wanted: Any) -> Optional[Any]:
    if typing.get_origin(wanted) not in (typing.Union, types.UnionType):
        return None
    kinds = [kind for kind in typing.get_args(wanted) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else Any


def _inner(wanted: Any) -> tuple[Any, ...]:
    return typing.get_args(wanted)


def _name(wanted: Any) -> Optional[str]:
    return NAMES.get(typing.get_origin(wanted) or wanted)


def _called(value: Any) -> str:
    if value is None:
        return "null"
    name = NAMES[type(value)]
    return WORDS.get(name, "an " + name)


def _is(value: Any, name: str) -> bool:
    found = NAMES.get(type(value))
    return found == name or (name == "number" and found == "integer")
