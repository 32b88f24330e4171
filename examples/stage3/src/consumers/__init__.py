"""One file for each backend: its ordinary client library, a group, and an acknowledgement after the work.

Each has `arguments(parser)` and `consume(stage, options, stop)`; `consume` returns when `stop` is set. An event that
raises is not acknowledged and comes again; everything else is.
"""

from __future__ import annotations

import argparse
import importlib
import threading
from typing import Protocol, cast

from ..stage import Stage

NAMES = ("redis_streams", "kafka", "nats", "rabbitmq", "webhook")
PAUSE_SECONDS = 1.0
"""How long to wait after something went wrong, before it is tried again."""


class Consumer(Protocol):
    """What each file has."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this backend."""

    def consume(self, stage: Stage, options: argparse.Namespace, stop: threading.Event) -> None:
        """Hand events to the stage until it is time to stop."""


def consumer(name: str) -> Consumer:
    """Give the consumer of a backend; only its own client library is imported."""
    return cast(Consumer, importlib.import_module(f".{name}", __package__))
