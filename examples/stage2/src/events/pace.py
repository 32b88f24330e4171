"""When to send, after what went well and what did not; and warnings that are no flood."""

from __future__ import annotations

import logging
import random
import time
from collections import deque

QUIET_SECONDS = 10.0
"""The least time between two warnings of the same kind: a flood of events is no flood of log lines."""
LONGEST_RETRY_AFTER_SECONDS = 60.0
"""A `Retry-After` that is longer is not heeded: who sent it may be back much sooner."""
WINDOW = 20
"""The last requests that the failure rate is about."""


class Pace:
    """Pauses that double with each failure, and are never the same for all publishers."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._pause = 0.0
        self._not_before = 0.0
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self.in_trouble = False

    def went_well(self) -> None:
        """Note that the host has answered as it should."""
        self._outcomes.append(True)
        self._pause = 0.0
        self.in_trouble = False

    def failed(self, retry_after: float | None) -> None:
        """Note that it has not; it is asked again after a pause, at the earliest when it said."""
        self._outcomes.append(False)
        self.in_trouble = True
        self._pause = min(self._longest, max(self._first, self._pause * 2))
        wanted = min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        self.wait(max(self._pause * random.uniform(0.5, 1.0), wanted))

    def wait(self, seconds: float) -> None:
        """Let nothing be sent for so long."""
        self._not_before = time.monotonic() + seconds

    def left(self) -> float:
        """How many seconds it is until something may be sent; not above zero if it is now."""
        return self._not_before - time.monotonic()

    def failure_rate(self) -> float:
        """The share of the last requests that failed."""
        outcomes = tuple(self._outcomes)
        return outcomes.count(False) / len(outcomes) if outcomes else 0.0


class QuietLogger:
    """Warns of the same thing once in a while."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._warned: dict[str, float] = {}

    def warn(self, kind: str, message: str, *values: object) -> None:
        """Warn, unless there was a warning of this kind a moment ago."""
        now = time.monotonic()
        if now - self._warned.get(kind, -QUIET_SECONDS) >= QUIET_SECONDS:
            self._warned[kind] = now
            self._logger.warning(message, *values)
