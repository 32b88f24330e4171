"""Without `events:` Stage 2 is what it was before: no thread, no socket, none of the heavy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, sys, threading
from stage2.core.config import load
from stage2.events.publisher import EventPublisher
before = set(sys.modules)
publisher = EventPublisher.from_settings(load({path!r}))
publisher.start()
answers = [
    publisher.publish_document_processed("doc-1", processing_time=1.0, metrics={{}}),
    publisher.publish_document_failed("doc-1", error="no"),
    publisher.publish_batch_started("job-1", document_count=1),
    publisher.publish_batch_completed("job-1", metrics={{}}),
    publisher.publish("com.example.x", "x", {{}}),
]
publisher.disable_temporarily()
assert publisher.flush(0)
publisher.close()
files = [f"/proc/self/fd/{{fd}}" for fd in os.listdir("/proc/self/fd")]
links = [os.readlink(file) for file in files if os.path.exists(file)]
heavy = {{"stage2.events.outbox", "stage2.events.transport", "stage2.events.spool", "http.client", "ssl",
         "opentelemetry", "spacy", "celery", "fastapi"}}
print(json.dumps({{
    "answers": answers,
    "threads": threading.active_count(),
    "sockets": [link for link in links if link.startswith("socket:")],
    "heavy": sorted(heavy & set(sys.modules)),
    "imported": sorted(set(sys.modules) - before),
}}))
"""


@pytest.mark.parametrize("text", ["", "host: {listen: '127.0.0.1:1'}", "events:", "events: {backend: redis_streams}"])
def test_disabled_means_nothing_at_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.yaml").write_text(text, "utf-8")
    program = PROGRAM.format(path=str(tmp_path / "settings.yaml"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found == {"answers": [False] * 5, "threads": 1, "sockets": [], "heavy": [], "imported": []}
    assert done.stderr == ""


def test_the_same_program_sees_it_when_they_are_enabled(tmp_path: Path) -> None:
    """The check above is worth something: with events there is a thread, and the client."""
    (tmp_path / "settings.yaml").write_text("events: {enabled: true}\nhost: {listen: '127.0.0.1:1'}", "utf-8")
    program = PROGRAM.format(path=str(tmp_path / "settings.yaml")).replace("assert publisher.flush(0)", "")
    program = program.replace("publisher.close()\n", "")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["answers"] == [True] * 5
    assert found["threads"] == 2
    assert "http.client" in found["heavy"]
    assert "5 events were not sent" in done.stderr


def test_the_publisher_needs_pydantic_and_yaml_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("events: {enabled: true}\nhost: {listen: '127.0.0.1:1'}", "utf-8")
    program = PROGRAM.format(path=str(tmp_path / "settings.yaml")).replace("assert publisher.flush(0)", "")
    program += """
site = [path for path in sys.path if path.endswith("site-packages")]
places = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
print(json.dumps(sorted({name.split(".")[0] for name, place in places.items() if any(map(place.startswith, site))})))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    others = set(json.loads(done.stdout.splitlines()[-1])) - {"stage2", "pydantic", "pydantic_core", "yaml", "_yaml"}
    # What pydantic itself needs, and what setuptools puts into every environment.
    assert others <= {"annotated_types", "typing_extensions", "typing_inspection", "_distutils_hack"}
