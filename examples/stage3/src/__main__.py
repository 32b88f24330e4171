"""The command: `python -m stage3 redis_streams --url redis://127.0.0.1:6379/1`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from .consumers import NAMES, consumer
from .feedback import Feedback
from .stage import Stage
from .store import Store
from .tracing import start


def main(words: list[str] | None = None) -> None:
    """Consume from one backend until SIGTERM or SIGINT, or show what is like a document."""
    options = parser(words).parse_args(words)
    store = Store(options.data)
    if options.backend == "nearest":
        for name, likeness in store.nearest(options.document):
            sys.stdout.write(f"{likeness:.3f}  {name}\n")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # One line an event is enough.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    feedback = Feedback(options.events_url, os.environ.get("EVENTS_TOKEN"))
    consumer(options.backend).consume(Stage(store, feedback, options.results), options, stop)


def parser(words: list[str] | None) -> argparse.ArgumentParser:
    """Make the parser; of the backends only the one that is asked for is imported."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser("stage3", description="Stage 3: embeddings of what Stage 2 found.")
    environment = os.environ.get
    parser.add_argument("--data", type=Path, default=Path(environment("STAGE3_DATA", "data/stage3")))
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(environment("STAGE3_RESULTS", "data/stage2/results")),
        help="where Stage 2 keeps its results; nothing else is read",
    )
    parser.add_argument(
        "--events-url",
        default=environment("EVENTS_URL", "http://127.0.0.1:8080/events"),
        help="the host, which takes failures back",
    )
    commands = parser.add_subparsers(dest="backend", required=True)
    for name in NAMES:
        command = commands.add_parser(name, help=f"consume from {name}")
        if name in words:
            consumer(name).arguments(command)
    nearest = commands.add_parser("nearest", help="show which documents are most like one")
    nearest.add_argument("document")
    return parser


if __name__ == "__main__":
    main()
