"""The publisher where processes fork, end, hang on, and are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rig.faulty import FaultyHost
from rig.processes import free_port, until
from stage2.core.config import EventsConfig, PublisherConfig
from stage2.events.publisher import EventPublisher

if TYPE_CHECKING:
    from conftest import Receiver

HEAD = """
import os, sys, time
from stage2.core.config import EventsConfig, PublisherConfig
from stage2.events.publisher import EventPublisher
def made(**config):
    return EventPublisher(EventsConfig(enabled=True), PublisherConfig(url=sys.argv[1], pause_seconds=0.01, **config))
def one(publisher, number):
    assert publisher.publish_document_processed(f"doc-{number}", processing_time=1.0, metrics={})
"""


def program(text: str, url: str, *more: object) -> list[str]:
    return [sys.executable, "-c", HEAD + text, url, *(str(word) for word in more)]


def run(text: str, url: str, *more: object, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(program(text, url, *more), capture_output=True, text=True, check=True, timeout=timeout)


def subjects(receiver: Receiver) -> list[str]:
    return sorted(event["subject"] for event in receiver.events)


def test_a_program_that_ends_sends_the_rest_first(receiver: Receiver) -> None:
    done = run("publisher = made(linger_seconds=5)\nfor n in range(50): one(publisher, n)", receiver.url)
    assert len(receiver.events) == 50
    assert done.stderr == ""


@pytest.mark.parametrize("kind", ["hung", "slow", "refusing"])
def test_a_program_ends_in_time_whatever_the_host_does(tmp_path: Path, kind: str) -> None:
    with FaultyHost(kind, tmp_path) as host:
        begin = time.monotonic()
        done = run("publisher = made(close_seconds=0.5)\none(publisher, 1)", host.url)
        assert time.monotonic() - begin < 4
        assert "1 events were not sent" in done.stderr


def test_a_forked_child_begins_with_nothing_and_sends_its_own(receiver: Receiver) -> None:
    """As Celery's prefork pool does it: the parent has used the publisher, and has a thread and a connection."""
    text = """
publisher = made()
one(publisher, 1)
assert publisher.flush(5)
publisher.disable_temporarily(0.5)
one(publisher, 2)
assert publisher.waiting == 1
child = os.fork()
if child == 0:
    assert publisher.waiting == 0
    one(publisher, 3)
    # Past what a pool's process does at its end.
    os._exit(0 if publisher.flush(5) else 1)
assert os.waitpid(child, 0)[1] == 0
assert publisher.waiting == 1
assert publisher.flush(5)
"""
    assert run(text, receiver.url).stderr == ""
    assert subjects(receiver) == ["document/doc-1", "document/doc-2", "document/doc-3"]


def test_forks_while_other_threads_publish(receiver: Receiver) -> None:
    """No lock that a thread of the parent holds is held for ever in the child."""
    text = """
import threading
publisher, stop = made(), threading.Event()
def busy():
    n = 0
    while not stop.is_set():
        n += 1
        publisher.publish("com.example.busy", "busy", {"n": n})
        time.sleep(0.0001)
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads: thread.start()
for number in range(25):
    child = os.fork()
    if child == 0:
        one(publisher, number)
        os._exit(0 if publisher.flush(5) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
"""
    run(text, receiver.url)
    mine = [event for event in receiver.events if event["subject"].startswith("document/")]
    assert len({event["subject"] for event in mine}) == 25


def spooling(url: str, directory: Path, **more: Any) -> EventPublisher:
    config = PublisherConfig.model_validate(
        {"url": url, "spool": directory, "pause_seconds": 0.01, "longest_pause_seconds": 0.05, **more}
    )
    return EventPublisher(EventsConfig(enabled=True), config)


def killed(spool: Path, count: int) -> None:
    """Leave what a process leaves that was killed while the host was away."""
    text = f"""
publisher = made(spool=sys.argv[2])
for n in range({count}): one(publisher, n)
print("ready", flush=True)
time.sleep(60)
"""
    command = program(text, f"http://127.0.0.1:{free_port()}/events", spool)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)


def test_what_a_killed_process_had_is_sent_by_the_next(receiver: Receiver, tmp_path: Path) -> None:
    killed(tmp_path, 20)
    publisher = spooling(receiver.url, tmp_path)
    publisher.start()
    until("the rest has arrived", lambda: len(receiver.events) == 20)
    assert subjects(receiver) == sorted(f"document/doc-{number}" for number in range(20))
    publisher.close()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_a_killed_process_did_not_finish_spoils_nothing(receiver: Receiver, tmp_path: Path) -> None:
    killed(tmp_path, 3)
    (left,) = tmp_path.glob("*.jsonl")
    left.write_bytes(left.read_bytes()[:-20])
    publisher = spooling(receiver.url, tmp_path)
    publisher.start()
    until("the rest has arrived", lambda: len(receiver.events) == 2)
    publisher.close()
    assert list(tmp_path.iterdir()) == []


def test_nobody_takes_over_from_the_living(receiver: Receiver, tmp_path: Path) -> None:
    away = spooling(f"http://127.0.0.1:{free_port()}/events", tmp_path)
    away.publish("com.example.mine", "mine", {})
    publisher = spooling(receiver.url, tmp_path)
    publisher.publish("com.example.other", "other", {})
    assert publisher.flush(5)
    publisher.close()
    assert [event["subject"] for event in receiver.events] == ["other"]
    assert away.waiting == 1
    away.close(0.1)
    (left,) = tmp_path.glob("*.jsonl")
    assert b"com.example.mine" in left.read_bytes()


def test_a_spool_that_cannot_be_written_is_a_warning(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no directory")
    publisher = spooling(receiver.url, tmp_path / "file")
    assert publisher.publish("com.example.x", "x", {})
    assert publisher.flush(5)
    publisher.close()
    assert "Events are in memory only" in caplog.text
    assert len(receiver.events) == 1
