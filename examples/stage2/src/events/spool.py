"""Events that are not confirmed yet, in a file of this process, so that they outlive it.

Written without syncing: what the kernel has, a killed process cannot take along. A process holds a lock on its own
file; a file without a holder is what a dead process left, and whoever finds it sends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path


class Spool:
    """The file of one process in a directory that several share."""

    def __init__(self, directory: Path) -> None:
        """Open a new file there.

        Raises:
            OSError: the directory cannot be made or written.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.path = directory / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
        # Under a name that nobody adopts, until it is locked.
        fresh = self.path.with_suffix(".new")
        self._file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(self.path)
        self.size = 0

    def append(self, event: bytes) -> None:
        """Add one encoded event."""
        # The line break comes first: what a full disk cut off before spoils no more than itself.
        self.size += os.write(self._file, b"\n" + event)

    def keep(self, events: Iterable[bytes]) -> None:
        """Forget all but these."""
        os.ftruncate(self._file, 0)
        rest = b"".join(b"\n" + event for event in events)
        self.size = 0
        while self.size < len(rest):
            self.size += os.write(self._file, rest[self.size :])

    def orphans(self) -> list[bytes]:
        """Take over what one dead process left; nothing if none has left anything."""
        for path in sorted(self.directory.glob("*.jsonl")):
            if path != self.path and (events := self._adopt(path)):
                return events
        return []

    def close(self) -> None:
        """Let go of the file; without anything in it, it is removed."""
        if self._file >= 0:
            if self.size == 0:
                self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def abandon(self) -> None:
        """Close it without a word: in a forked child, where it is the parent's."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _adopt(self, path: Path) -> list[bytes]:
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            events = [line for line in path.read_bytes().split(b"\n") if _whole(line)]
            for event in events:
                self.append(event)
            path.unlink()
            return events
        except (BlockingIOError, FileNotFoundError):
            # Its process lives, or another one was faster.
            return []
        finally:
            os.close(file)


def _whole(line: bytes) -> bool:
    """Whether it is an event: a process may have died within the last line."""
    try:
        return bool(line) and isinstance(json.loads(line), dict)
    except ValueError:
        return False
