"""Processes that are started, waited for, and ended by whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

PATIENCE = 60.0
"""Seconds until something that must happen counts as not happening: much, for a busy machine."""

Found = TypeVar("Found")


class NotHappeningError(Exception):
    """What was waited for did not come to be; the message has the end of the log."""


def until(what: str, look: Callable[[], Found | None], patience: float = PATIENCE, every: float = 0.02) -> Found:
    """Wait until `look`, which is called every so many seconds, finds something, and give that.

    Raises:
        NotHappeningError: it did not within `patience` seconds.
    """
    end = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > end:
            raise NotHappeningError(f"waited {patience:.0f} s, and still not so: {what}")
        time.sleep(every)
    return found


_given: set[int] = set()


def free_port() -> int:
    """Find a port of 127.0.0.1 that nobody listens on, and that was not given before."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def listens(port: int) -> bool:
    """Say whether anybody does."""
    with socket.socket() as peer:
        peer.settimeout(1.0)
        return peer.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program, its children, and a log file of its output. It is ended with the `with` that holds it."""

    def __init__(
        self, name: str, command: Sequence[str | Path], directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = [str(word) for word in command]
        self.directory = directory
        self.environment = dict(environment or {})
        self.log = directory / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, once more if it has ended."""
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 (a command of our own)
                self.command,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def is_running(self) -> bool:
        """Say whether it has been started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def ready(self, look: Callable[[], object], patience: float = PATIENCE) -> Self:
        """Wait until `look` says so.

        Raises:
            NotHappeningError: it ended before, or is not ready in time.
        """

        def found() -> bool:
            if not self.is_running():
                raise NotHappeningError(f"{self.name} ended by itself:\n{self.tail()}")
            return bool(look())

        try:
            until(f"{self.name} is ready", found, patience)
        except NotHappeningError as error:
            raise NotHappeningError(f"{error}\n{self.tail()}") from None
        return self

    def stop(self, patience: float = PATIENCE) -> None:
        """Ask it to end, and wait for that; kill it if it does not."""
        if self._child is None:
            return
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(patience)
        self.kill()

    def kill(self) -> None:
        """Kill it with all of its children, and wait for its end."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self._child is not None and self.is_running():
            self._child.send_signal(number)

    def children(self) -> list[int]:
        """Give the ids of the processes that it has started."""
        if self._child is None:
            return []
        pid = self._child.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def tail(self, lines: int = 30) -> str:
        """Give the end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:]) if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()
