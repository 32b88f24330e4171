"""A real host, with settings, data and log in a directory of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from .processes import Process, free_port

REPOSITORY = Path(__file__).resolve().parents[3]


def program() -> Path:
    """Find `stagewire`: `STAGEWIRE_BIN`, else on the `PATH`, else as it was built here.

    Raises:
        FileNotFoundError: it is nowhere.
    """
    if named := os.environ.get("STAGEWIRE_BIN"):
        return Path(named)
    places = [shutil.which("stagewire"), *(REPOSITORY / "target" / kind / "stagewire" for kind in ("release", "debug"))]
    for place in places:
        if place and Path(place).is_file():
            return Path(place)
    raise FileNotFoundError("no host: build it by `cargo build -p stagewire`, or name one in STAGEWIRE_BIN")


def settings(directory: Path, events: Mapping[str, Any], routes: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write a settings file, for a host that learns from its environment where to listen."""
    tree = {
        "events": dict(events),
        "host": {
            "listen": "${HOST_LISTEN}",
            "data": "${HOST_DATA}",
            "admin": {"listen": "${HOST_ADMIN_LISTEN}"},
        },
        "plugins": {"directory": "${HOST_PLUGINS}"},
        "routes": [dict(route) for route in routes],
    }
    path = directory / "settings.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False), "utf-8")
    return path


class Host(Process):
    """A host whose ports stay the same over its restarts."""

    def __init__(self, directory: Path, settings: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port, self.admin = free_port(), free_port()
        self.settings = settings
        (directory / "plugins").mkdir(exist_ok=True)
        mine = {
            "HOST_LISTEN": f"127.0.0.1:{self.port}",
            "HOST_ADMIN_LISTEN": f"127.0.0.1:{self.admin}",
            "HOST_DATA": str(directory / "host"),
            "HOST_PLUGINS": str(directory / "plugins"),
        }
        command = [str(program()), "run", "--config", str(settings)]
        super().__init__("host", command, directory, {**mine, **(environment or {})})

    @property
    def url(self) -> str:
        """Where events are posted."""
        return f"http://127.0.0.1:{self.port}/events"

    def run(self) -> Self:
        """Start it and wait until it takes events."""
        return self.start().ready(lambda: self._get("/readyz") is not None)

    def received(self) -> int:
        """Give how many events it has taken since its start."""
        lines = (self._get("/metrics") or b"").decode().splitlines()
        counts = (line.split()[-1] for line in lines if line.startswith("stagewire_events_received_total"))
        return int(float(next(counts, "0")))

    def journal(self) -> list[dict[str, Any]]:
        """Give all events that it has taken and still keeps, in their order."""
        lines = self.ask("tail", "journal", "--config", str(self.settings)).splitlines()
        return [json.loads(line) for line in lines]

    def dead_letters(self) -> list[dict[str, Any]]:
        """Give the events that were given up, with their reasons."""
        found = json.loads(self._get("/api/v1/dead-letters?limit=1000") or b"[]")
        return list(found)

    def explain(self, event_id: str) -> list[dict[str, Any]]:
        """Give the deliveries of an event, each with its route, backend, tries, receipt and milliseconds."""
        found = json.loads(self._get(f"/api/v1/explain/{event_id}") or b'{"events": []}')
        journeys = (journey for event in found["events"] for journey in event["journeys"])
        return [{"route": journey["route"], **each} for journey in journeys for each in journey["deliveries"]]

    def ask(self, *words: str) -> str:
        """Run another command of the program, and give what it printed."""
        done = subprocess.run(  # noqa: S603 (the host's own)
            [self.command[0], *words],
            cwd=self.directory,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout

    def _get(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            return None
