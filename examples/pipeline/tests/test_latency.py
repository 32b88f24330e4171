"""With the host down, hung, slow or refusing, a document takes no more than 5 ms longer (p99)."""

from __future__ import annotations

from pathlib import Path

import latency
from parts import stories

MOST_MS = 5.0
MOST_CALL_MS = 1.0
TRIES = 3
"""A busy machine interrupts for longer than 5 ms: what is too much each time is the publisher's."""


def test_a_host_in_trouble_does_not_slow_stage_2(tmp_path: Path) -> None:
    paragraphs = [part for text in stories().values() for part in text.split("\n\n")[1:]]
    tables = []
    for number in range(TRIES):
        directory = tmp_path / str(number)
        directory.mkdir()
        situations = latency.measure(directory, (paragraphs * 7)[:200], rounds=2)
        tables.append(latency.table(situations))
        troubled = latency.in_trouble(situations)
        assert len(troubled) == 4
        for situation in troubled:
            # Nothing is thrown away for it: what the host has not taken waits.
            assert (situation.publisher.dropped, situation.publisher.waiting > 0) == (0, True)
            assert latency.quantile(situation.publisher.times, 0.5) <= MOST_CALL_MS
        if all(latency.growth(situations, situation) <= MOST_MS for situation in troubled):
            print(tables[-1])
            return
    raise AssertionError("\n".join(tables))
