from dataclasses import dataclass, field
from typing import Optional

import pytest
from stagewire import Refused
from stagewire.settings import parse, schema


@dataclass
class Inner:
    name: str


@dataclass
class Settings:
    least: int
    ratio: float = 1.0
    names: list[str] = field(default_factory=list)
    inner: Optional[Inner] = None
    by_key: dict[str, bool] = field(default_factory=dict)


def test_settings_become_the_dataclass():
    parsed = parse('{"least": 1, "ratio": 2, "names": ["a"], "inner": {"name": "b"}, "by_key": {"c": true}}', Settings)
    assert parsed == Settings(1, 2, ["a"], Inner("b"), {"c": True})
    assert parse('{"least": 1, "inner": null}', Settings) == Settings(1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "missing field `least`"),
        ('{"least": true}', "`least`: a whole number was expected, not true or false"),
        ('{"least": 1, "leest": 1}', "unknown field `leest`; did you mean `least`?"),
        ('{"least": 1, "zzz": 1}', "unknown field `zzz`"),
        ('{"least": 1, "names": [1]}', "`names[0]`: text was expected, not a whole number"),
        ('{"least": 1, "names": null}', "`names`: an array was expected, not null"),
        ('{"least": 1, "inner": {}}', "missing field `name`"),
        ('{"least": 1, "by_key": {"c": 1}}', "`by_key.c`: true or false was expected, not a whole number"),
        ("[]", "`settings`: an object was expected, not an array"),
    ],
)
def test_a_refusal_names_the_field(text, reason):
    with pytest.raises(Refused) as refusal:
        parse(text, Settings)
    assert str(refusal.value) == reason


def test_a_plugin_without_settings_takes_none():
    assert parse("{}", None) == {}
    with pytest.raises(Refused, match="unknown field `a`"):
        parse('{"a": 1}', None)


def test_the_schema_says_the_same():
    described = schema(Settings)
    assert described["required"] == ["least"]
    assert described["properties"]["names"] == {"type": "array", "items": {"type": "string"}}
    assert described["properties"]["inner"]["anyOf"][0]["required"] == ["name"]
