"""What the host offers to every plugin. In a test, log lines go to standard error and the rest is left out."""

from __future__ import annotations

from . import wit

Level = wit.host.Level


def log(message: str, level: Level = Level.INFO) -> None:
    """Writes to the host's log under the step's name. Never log an event's data."""
    wit.host.log(level, message)


def count(name: str, by: int = 1) -> None:
    """Adds to a counter of the plugin's own; `name` is 1 to 64 of `a-z`, `0-9` and `_`."""
    wit.host.count(name, by)


def observe(name: str, value: float) -> None:
    """Adds a value to a histogram of the plugin's own. Names as in `count`."""
    wit.host.observe(name, value)


def now() -> int:
    """The time of this call: nanoseconds since 1970, the same from its beginning to its end, and again in a replay."""
    return wit.host.now()
