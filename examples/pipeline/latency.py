"""How much publishing costs Stage 2 for each document: events off, on, on with the host under load, and in trouble.

All in one run. The situations take turns at each document, so that what else the machine does hits all of them; events
off is measured twice, which shows how much of a difference means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rig.faulty import FaultyHost
from rig.host import Host, settings
from rig.processes import Process, free_port
from stage2.core.config import EventsConfig, PublisherConfig
from stage2.core.stage import Stage
from stage2.core.store import Document, Store
from stage2.events.publisher import EventPublisher

ROUNDS = 5
LOAD_RATE = 2_000
"""Events a second that others send to the host meanwhile."""
LOAD = '{"specversion":"1.0","id":"%d","source":"load","type":"com.example.load","data":{"filling":"%s"}}'


class TimedPublisher(EventPublisher):
    """Notes how long each call takes, in milliseconds."""

    def __init__(self, events: EventsConfig, publisher: PublisherConfig | None) -> None:
        super().__init__(events, publisher)
        self.times: list[float] = []

    def publish_document_processed(self, *words: Any, **more: Any) -> bool:  # noqa: ANN401 (whatever it takes)
        """Publish, and take the time."""
        begin = time.perf_counter()
        taken = super().publish_document_processed(*words, **more)
        self.times.append((time.perf_counter() - begin) * 1_000)
        return taken


class Situation:
    """Stage 2 in one situation, and the milliseconds that each document took there."""

    def __init__(self, name: str, directory: Path, url: str | None) -> None:
        self.name = name
        self.times: list[float] = []
        config = PublisherConfig(url=url) if url else None
        self.publisher = TimedPublisher(EventsConfig(enabled=url is not None), config)
        self.stage = Stage(Store(directory / name), self.publisher)

    def process(self, document: Document) -> None:
        """Process a document, and take the time."""
        begin = time.perf_counter()
        self.stage.process(document)
        self.times.append((time.perf_counter() - begin) * 1_000)

    def quantile(self, share: float) -> float:
        """Give a quantile of all times."""
        return quantile(self.times, share)


def quantile(times: Sequence[float], share: float) -> float:
    """Give a quantile of some times."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def measure(directory: Path, texts: list[str], rounds: int = ROUNDS) -> list[Situation]:
    """Measure all situations."""
    documents = [Document(f"doc-{number}", "job", text, "waiting", None, 0) for number, text in enumerate(texts)]
    with ExitStack() as stack:
        faulty = [stack.enter_context(FaultyHost(kind, directory)) for kind in ("hung", "slow", "refusing")]
        host = stack.enter_context(Host(directory, settings(directory, {"enabled": True, "backend": "local"}))).run()

        def situation(name: str, url: str | None) -> Situation:
            made = Situation(name, directory, url)
            stack.callback(made.publisher.close, 0)
            return made

        calm = [
            situation("events off", None),
            situation("events off, again", None),
            situation("on", host.url),
            situation("on, host down", f"http://127.0.0.1:{free_port()}/events"),
            *(situation(f"on, host {each.name}", each.url) for each in faulty),
        ]
        loaded = [situation("off, host under load", None), situation("on, host under load", host.url)]
        # What is done once in a process is done once for all of them.
        _take_turns(calm, documents[:20])
        for each in calm:
            each.times.clear()
            each.publisher.times.clear()
        for _ in range(rounds):
            _take_turns(calm, documents)
            with load(host, directory):
                _take_turns(loaded, documents)
        return calm + loaded


def _take_turns(situations: Sequence[Situation], documents: Sequence[Document]) -> None:
    for number, document in enumerate(documents):
        # Nobody is always the first.
        first = number % len(situations)
        for situation in (*situations[first:], *situations[:first]):
            situation.process(document)


@contextmanager
def load(host: Host, directory: Path) -> Iterator[None]:
    """Let others send to the host while this lasts."""
    events = directory / "load.jsonl"
    events.write_text("\n".join(LOAD % (number, "x" * 800) for number in range(100)), "utf-8")
    words = ["send", str(events), "--to", host.url, "--mode", "batched"]
    words += ["--rate", str(LOAD_RATE), "--repeat", "1000000"]
    with Process("load", [host.command[0], *words], directory).start() as process:
        begin = host.received()
        process.ready(lambda: host.received() > begin)
        yield


def table(situations: Sequence[Situation]) -> str:
    """Write it as a table: each document, how far its p99 is above events off, and the call to the publisher."""
    base = situations[0].quantile(0.99)
    lines = [f"{'ms':<22} {'p50':>8} {'p95':>8} {'p99':>8} {'p99 grows':>10} {'publish p99':>12}"]
    for each in situations:
        p50, p95, p99 = (each.quantile(share) for share in (0.5, 0.95, 0.99))
        call = quantile(each.publisher.times, 0.99)
        lines.append(f"{each.name:<22} {p50:>8.2f} {p95:>8.2f} {p99:>8.2f} {p99 - base:>+10.2f} {call:>12.3f}")
    return "\n".join(lines)


def in_trouble(situations: Sequence[Situation]) -> list[Situation]:
    """Give those where events are on and the host is down, hung, slow or refusing."""
    return [each for each in situations if each.name.endswith(("down", "hung", "slow", "refusing"))]


def growth(situations: Sequence[Situation], situation: Situation) -> float:
    """Give how much p99 grows in a situation, beyond what two times of events off differ."""
    return situation.quantile(0.99) - max(off.quantile(0.99) for off in situations[:2])
