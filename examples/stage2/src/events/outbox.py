"""The queue between the work and the host, and the one thread that empties it."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ..core.config import PublisherConfig
from .pace import Pace, QuietLogger
from .spool import Spool
from .transport import Delivered, Later, Refused, Transport

logger = logging.getLogger(__name__)

ORPHANS_SECONDS = 5.0
"""How often an idle outbox looks for what dead processes left."""
SPOOL_BYTES = 16 << 20
"""The size at which a spool is rewritten, though the queue was never empty."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An encoded event, and what a log line says of it."""

    body: bytes
    id: str = ""
    type: str = ""
    document_id: str = ""
    since: float = 0.0


class Outbox:
    """A bounded queue, drained in order by a daemon thread that the first event starts.

    `put` takes microseconds, whatever the host does. What is not confirmed stays in the queue and is sent again,
    with the same id. A forked child begins with an empty queue and a thread of its own.
    """

    def __init__(self, config: PublisherConfig, *, log_events: bool = True) -> None:
        self.config = config
        self.log_events = log_events
        self.dropped = 0
        self._begin()
        _live.add(self)

    def _begin(self) -> None:
        config = self.config
        self._queue: deque[Entry] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._closing = False
        self._stopped = False
        self._transport = Transport(config.url, config.token, config.timeout_seconds)
        self._spool: Spool | None = None
        self.pace = Pace(config.pause_seconds, config.longest_pause_seconds)
        self._quiet = QuietLogger(logger)

    def put(self, entry: Entry) -> bool:
        """Queue one event; false, and a warning, if the queue is full or closed."""
        with self._changed:
            full = len(self._queue) >= self.config.queue
            if not full and not self._closing:
                self._start()
                self._save(entry)
                self._queue.append(entry)
                # The thread waits for one event, and then for a whole batch: it need not wake for those in between.
                if len(self._queue) in (1, self.config.batch):
                    self._changed.notify_all()
                return True
            self.dropped += 1
        why = "the queue is full" if full else "the publisher is closed"
        self._quiet.warn(why, "Event dropped: %s; %d are waiting, %d were dropped", why, len(self._queue), self.dropped)
        return False

    def start(self) -> None:
        """Start the thread before the first event, so that it sends what a dead process left in the spool."""
        with self._changed:
            self._start()

    def waiting(self) -> int:
        """How many events are not confirmed yet."""
        return len(self._queue)

    def flush(self, timeout: float) -> bool:
        """Wait until all that is queued is confirmed, at most so many seconds; say whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue, timeout)

    def close(self, timeout: float) -> int:
        """Send what can still be sent within so many seconds, end the thread, and say how many are left."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout)
        left = len(self._queue)
        if left:
            fate = f"they wait in {self._spool.path}" if self._spool else "they are lost"
            logger.warning("%d events were not sent to %s in %.1f s; %s", left, self.config.url, timeout, fate)
        return left

    def forked(self) -> None:
        """Begin anew in a child: what was queued is the parent's to send, and so is its connection."""
        if self._spool is not None:
            self._spool.abandon()
        self._begin()

    # What follows is called with the lock held …

    def _start(self) -> None:
        if self._thread is None:
            if self.config.spool is not None:
                self._open_spool(self.config)
            thread = threading.Thread(target=self._run, name="stagewire-publisher", daemon=True)
            thread.start()
            self._thread = thread

    def _open_spool(self, config: PublisherConfig) -> None:
        try:
            self._spool = Spool(config.spool) if config.spool else None
        except OSError as error:
            logger.warning("Events are in memory only: cannot use %s: %s", config.spool, error)

    def _save(self, entry: Entry) -> None:
        if self._spool is not None:
            try:
                self._spool.append(entry.body)
            except OSError as error:
                self._quiet.warn(
                    "spool", "Events are kept in memory only: cannot write %s: %s", self._spool.path, error
                )

    def _settle(self, entries: Sequence[Entry], keep: Sequence[Entry] = ()) -> None:
        """Forget these, the first of the queue, but for some."""
        for _ in entries:
            self._queue.popleft()
        self._queue.extendleft(reversed(keep))
        if self._spool is not None and (not self._queue or self._spool.size > SPOOL_BYTES):
            try:
                self._spool.keep(entry.body for entry in self._queue)
            except OSError as error:
                self._quiet.warn("spool", "Cannot write %s: %s", self._spool.path, error)
        self._changed.notify_all()

    # … and what follows runs in the thread.

    def _run(self) -> None:
        while not self._stopped:
            try:
                if entries := self._next():
                    self._send(entries)
            except Exception:
                # Nobody would notice a dead thread before the queue is full.
                logger.exception("The publisher goes on after an error of its own")
                self._failed(Later("an error of its own"))
        self._transport.close()
        if self._spool is not None:
            self._spool.close()

    def _next(self) -> list[Entry]:
        """Wait for events, and for the time to send them; none when it is time to end, or to look around."""
        self._adopt()
        with self._changed:
            rest = ORPHANS_SECONDS if self._spool else None
            self._changed.wait_for(lambda: self._queue or self._closing, rest)
            self._changed.wait_for(self._is_due, self.config.linger_seconds if self._queue else 0.0)
            while not self._closing and (left := self.pace.left()) > 0:
                self._changed.wait(left)
            self._stopped = self._closing and not self._queue
            return list(islice(self._queue, self.config.batch))

    def _is_due(self) -> bool:
        return self._closing or len(self._queue) >= self.config.batch

    def _adopt(self) -> None:
        """Take over what a dead process left, one file at a time, and only while there is nothing else to do."""
        if self._spool is None or self._queue:
            return
        orphans = self._spool.orphans()
        if orphans:
            logger.info("%d events of a process that died are sent now", len(orphans))
            with self._changed:
                self._queue.extend(Entry(body, since=time.monotonic()) for body in orphans)

    def _send(self, entries: list[Entry]) -> None:
        answer = self._transport.send([entry.body for entry in entries])
        match answer:
            case Delivered():
                self._delivered(entries)
            case Later():
                self._failed(answer)
            case Refused():
                self._refused(entries, answer)

    def _delivered(self, entries: Sequence[Entry]) -> None:
        was_in_trouble = self.pace.in_trouble
        with self._changed:
            # Before whoever waits for the queue to be empty goes on.
            self.pace.went_well()
            self._settle(entries)
        if was_in_trouble:
            logger.warning("Events are sent to %s again; %d wait", self.config.url, len(self._queue))
        if self.log_events and logger.isEnabledFor(logging.INFO):
            for entry in entries:
                self._log(entry)

    def _log(self, entry: Entry) -> None:
        extra = {
            "event_id": entry.id,
            "event_type": entry.type,
            "document_id": entry.document_id,
            "backend": "stagewire",
            "latency_ms": round((time.monotonic() - entry.since) * 1_000, 1),
        }
        logger.info("Event published", extra=extra)

    def _failed(self, later: Later) -> None:
        self._quiet.warn("failed", "Failed to publish events: %s; %d wait", later.reason, len(self._queue))
        with self._changed:
            self.pace.failed(later.after)
            # The end of the process is no time to wait for a host that is away.
            self._stopped = self._closing

    def _refused(self, entries: list[Entry], refused: Refused) -> None:
        """Part those that the host will not take from the others; where it does not say which, by halves."""
        bad = {index for index in refused.indexes if 0 <= index < len(entries)}
        if len(entries) == 1:
            bad = {0}
        if bad:
            self._give_up([entries[index] for index in sorted(bad)], refused.reason)
            with self._changed:
                self._settle(entries, [entry for index, entry in enumerate(entries) if index not in bad])
        else:
            self._send(entries[: len(entries) // 2])

    def _give_up(self, entries: Sequence[Entry], reason: str) -> None:
        self.dropped += len(entries)
        ids = ", ".join(entry.id for entry in entries[:3])
        self._quiet.warn("refused", "%d events dropped (%s, …): %s", len(entries), ids, reason)


_live: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _forked() -> None:
    for outbox in tuple(_live):
        outbox.forked()


def _ended() -> None:
    for outbox in tuple(_live):
        if not outbox._closing:
            outbox.close(outbox.config.close_seconds)


os.register_at_fork(after_in_child=_forked)
atexit.register(_ended)
