"""With the host down, hung, slow or refusing, a document takes no more than 5 ms longer (p99)."""

from __future__ import annotations

from pathlib import Path

import latency
from parts import stories

MOST_MS = 5.0
MOST_CALL_MS = 1.0


def test_a_host_in_trouble_does_not_slow_stage_2(tmp_path: Path) -> None:
    paragraphs = [part for text in stories().values() for part in text.split("\n\n")[1:]]
    situations = latency.measure(tmp_path, (paragraphs * 7)[:200], rounds=3)
    shown = latency.table(situations)
    print(shown)
    troubled = latency.in_trouble(situations)
    assert len(troubled) == 4
    for situation in troubled:
        assert latency.growth(situations, situation) <= MOST_MS, shown
        # The call itself: its p99 on a busy machine is that of the machine.
        assert latency.quantile(situation.publisher.times, 0.5) <= MOST_CALL_MS, shown
        # Nothing is thrown away for it: what the host has not taken waits.
        assert situation.publisher.dropped == 0
        assert situation.publisher.waiting > 0
