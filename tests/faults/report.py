"""The table: how often each kind came, and how long it took until everything served again."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.bench_row import Row, row
from tests.faults.audit import Audit
from tests.faults.brokers import Shape
from tests.faults.director import Injected

SHAPE_NAMES: Final[Mapping[Shape, str]] = {"node": "one node", "cluster": "cluster"}


@dataclass(frozen=True, kw_only=True)
class ShapeResult:
    """What happened to a site of one shape."""

    shape: Shape
    injected: Sequence[Injected]
    missed: int  # faults drawn that could not be brought about
    audit: Audit
    seconds: float


def table(results: Sequence[ShapeResult], seed: int) -> list[Row]:
    """Rows of build/bench/faults.json: counts of each shape, then the recovery times of each kind there."""
    return [
        row("seed", seed, "", digits=0),
        *(entry for result in results for entry in _counts(result)),
        *(entry for result in results for entry in _kinds(result)),
    ]


def _counts(result: ShapeResult) -> list[Row]:
    audit, shape = result.audit, SHAPE_NAMES[result.shape]
    counted = (
        ("faults injected", len(result.injected), "faults", None),
        ("batches lost", audit.lost, "batches", 0),
        ("batches doubled", audit.doubled, "batches", 0),
        ("complaints of the audit", len(audit.complaints), "complaints", 0),
        ("batches accepted by outboxes", audit.accepted_batches, "batches", None),
        ("samples accepted by outboxes", audit.accepted_samples, "samples", None),
        ("batches that came again and were dropped", audit.resent, "batches", None),
        ("messages refused and kept", audit.refused, "messages", None),
        ("alerts opened", audit.rules.alerts, "alerts", None),
        ("messages delivered", audit.rules.messages, "messages", None),
        ("alerts and messages lost", audit.rules.lost, "", 0),
        ("alerts, messages and slots doubled", audit.rules.doubled, "", 0),
        ("bookings", audit.rules.bookings, "bookings", None),
        ("messages taken again because of a fault", audit.rules.again, "messages", None),
        ("faults drawn that could not be brought about", result.missed, "faults", None),
        ("run", result.seconds, "s", None),
    )
    return [row(f"{shape}: {name}", value, unit, at_most=most, digits=0) for name, value, unit, most in counted]


def _kinds(result: ShapeResult) -> list[Row]:
    shape, injected = SHAPE_NAMES[result.shape], result.injected
    kinds = sorted({one.kind for one in injected})
    return [
        *_times(f"{shape}: any fault", injected),
        *(
            entry
            for kind in kinds
            for entry in _times(f"{shape}: {kind}", [one for one in injected if one.kind == kind])
        ),
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
