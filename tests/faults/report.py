"""The table: how often each kind came, and how long it took until everything served again."""

import statistics
from collections.abc import Sequence

from tests.benchmarks.bench_row import Row, row
from tests.faults.audit import Audit
from tests.faults.director import Injected


def table(injected: Sequence[Injected], audit: Audit, *, seed: int, missed: int, seconds: float) -> list[Row]:
    """Rows of build/bench/faults.json."""
    kinds = sorted({one.kind for one in injected})
    return [
        row("faults injected", len(injected), "faults", digits=0),
        row("batches lost", audit.lost, "batches", at_most=0, digits=0),
        row("batches doubled", audit.doubled, "batches", at_most=0, digits=0),
        row("complaints of the audit", len(audit.complaints), "complaints", at_most=0, digits=0),
        row("batches accepted by outboxes", audit.accepted_batches, "batches", digits=0),
        row("samples accepted by outboxes", audit.accepted_samples, "samples", digits=0),
        row("batches that came again and were dropped", audit.resent, "batches", digits=0),
        row("messages refused and kept", audit.refused, "messages", digits=0),
        row("faults drawn that could not be brought about", missed, "faults", digits=0),
        row("seed", seed, "", digits=0),
        row("run", seconds, "s", digits=0),
        *_times("any fault", injected),
        *(entry for kind in kinds for entry in _times(kind, [one for one in injected if one.kind == kind])),
    ]


def _times(name: str, injected: Sequence[Injected]) -> list[Row]:
    entries: list[Row] = []
    for how, chosen in (
        ("alone", [one for one in injected if one.together == 1]),
        ("with others", [one for one in injected if one.together > 1]),
    ):
        seconds = sorted(one.recovery_seconds for one in chosen)
        if not seconds:
            continue
        entries += [
            row(f"{name}, {how}: faults", len(seconds), "faults", digits=0),
            row(f"{name}, {how}: recovery, median", statistics.median(seconds), "s", digits=2),
            row(f"{name}, {how}: recovery, p95", seconds[max(0, -(-95 * len(seconds) // 100) - 1)], "s", digits=2),
            row(f"{name}, {how}: recovery, longest", seconds[-1], "s", digits=2),
        ]
    return entries
