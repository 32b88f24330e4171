"""The whole pipeline by one command: `python run.py`.

It starts Redis, the host, Stage 2 and Stage 3 on free loopback ports, in a temporary directory, and ends them again.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import campaign
import demo
import latency
from parts import Pipeline, stories


def main() -> int:
    """Do what was asked for; the exit code says whether all went as it must."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["demo", "campaign", "latency"], default="demo")
    what = parser.parse_args().what
    return {"demo": run_demo, "campaign": run_campaign, "latency": run_latency}[what]()


def run_demo() -> int:
    """Six stories, Stage 3 broken on purpose, and how that is mended."""
    with Pipeline() as pipeline:
        demo.run(pipeline, say)
    return 0


def run_campaign() -> int:
    """200 documents, while workers, Stage 3 and the host are killed."""
    with Pipeline() as pipeline:
        outcome = campaign.run(pipeline, say)
    for line in outcome.report.lines():
        say(line)
    outcomes = outcome.report.outcomes()
    say("\n" + ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())))
    return 1 if "LOST" in outcomes else 0


def run_latency() -> int:
    """What publishing costs Stage 2 for each document."""
    # That a host is down is what is measured, not what is wrong.
    logging.disable(logging.WARNING)
    paragraphs = [part for text in stories().values() for part in text.split("\n\n")[1:]]
    with tempfile.TemporaryDirectory() as directory:
        say(latency.table(latency.measure(Path(directory), (paragraphs * 7)[:200])))
    return 0


def say(line: str) -> None:
    """Print, and at once."""
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
