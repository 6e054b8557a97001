"""How long every source takes to read everything again after each disturbance has ended, as the agent runs it.

The cells are those of the matrix test (tests/integration/disturbance_matrix.py), here with the agent's own pauses and
periods: a silent car is asked every 10 s, a source that is gone is opened again when it can be seen to be back. Most of
the time waits, so many cells run at once.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from edge_agent.sources.obd import ObdConfig
from tests.benchmarks.bench_row import Row, row
from tests.integration.disturbance_matrix import CELLS, SOURCES, Outcome, run_cell

AT_ONCE: Final = 10
GOAL_S: Final = 20.0  # "by itself in seconds"
WORDS: Final = "says "  # of disturbances that are words of the adapter: one row for the slowest of them


def rows() -> list[Row]:
    """All figures of this part."""
    period_s = ObdConfig().discovery_period_s
    with tempfile.TemporaryDirectory(prefix="wearcast-bench-") as folder, ThreadPoolExecutor(AT_ONCE) as pool:

        def measure(cell: tuple[str, str]) -> Outcome:
            return run_cell(*cell, Path(folder), discovery_period_s=period_s, as_agent=True)

        outcomes = list(pool.map(measure, CELLS))
    bogus = [f"{each.source}, {each.disturbance}: {what}" for each in outcomes for what in each.bogus]
    table = [
        row(f"values that were not so, in {len(outcomes)} cells {' '.join(bogus)}".rstrip(), len(bogus), "", at_most=0),
        row("longest poll", max(each.longest_poll_s for each in outcomes), "s", at_most=30),
    ]
    for source in SOURCES:
        own = [each for each in outcomes if each.source == source]
        table.append(row(f"{source}: slowest recovery", max(map(_recovery_s, own)), "s", at_most=GOAL_S, digits=1))
        words = [each for each in own if each.disturbance.startswith(WORDS)]
        table += [
            row(f"{source}: {each.disturbance}", _recovery_s(each), "s to recover", digits=1)
            for each in own
            if each not in words
        ]
        if words:
            slowest = max(words, key=_recovery_s)
            name = (
                f"{source}: {len(words)} words instead of an answer, slowest {slowest.disturbance.removeprefix(WORDS)}"
            )
            table.append(row(name, _recovery_s(slowest), "s to recover", digits=1))
    return table


def _recovery_s(outcome: Outcome) -> float:
    assert outcome.recovered
    return outcome.recovery_s
