"""How often a code's urgency is the one that public guidance gives, against the catalogue's severity of the code alone.

Too mild and too strict are told apart: a needless stop costs a tow, a missed one an engine.
"""

from collections.abc import Callable, Sequence
from typing import Final

from health.trouble_code_urgency import CodeEvidence, Level, urgency
from telemetry.trouble_codes import describe
from tests.benchmarks.health.table import HealthRow, Split
from tests.benchmarks.health.trouble_code_cases import LEVELS, Case, cases

_OF_SEVERITY: Final[dict[str, Level]] = {"info": "drive_on", "soon": "soon", "urgent": "soon", "stop": "stop"}
_BASELINE: Final = "catalogue's severity alone"


def of_catalogue(evidence: CodeEvidence) -> Level:
    """The level by the code alone, whatever its circumstances."""
    return _OF_SEVERITY[describe(evidence.code, "en").severity]


def of_circumstances(evidence: CodeEvidence) -> Level:
    """The level that owners are told."""
    return urgency(evidence).level


def rows() -> list[HealthRow]:
    """Agreement, and the share of cases judged too mild, for both halves of the cases."""
    found: list[HealthRow] = []
    splits: tuple[Split, ...] = ("fit", "judged")
    for split in splits:
        chosen = [case for case in cases() if case.split == split]
        found.append(_row(chosen, split, "agreement with guidance", _agreement))
        found.append(_row(chosen, split, "judged too mild", _too_mild))
        found.append(_row(chosen, split, "judged too strict", _too_strict))
    return found


def _row(
    chosen: Sequence[Case],
    split: Split,
    metric: str,
    measure: Callable[[Sequence[Case], Callable[[CodeEvidence], Level]], float],
) -> HealthRow:
    return HealthRow(
        quantity="trouble_code",
        data=f"{len(chosen)} cases of public guidance",
        kind="semi-synthetic",  # real guidance; the circumstances are written after it
        split=split,
        metric=metric,
        unit="%",
        value=measure(chosen, of_circumstances),
        baseline=measure(chosen, of_catalogue),
        baseline_name=_BASELINE,
    )


def _agreement(chosen: Sequence[Case], judge: Callable[[CodeEvidence], Level]) -> float:
    return 100 * sum(judge(case.evidence) == case.expect for case in chosen) / len(chosen)


def _too_mild(chosen: Sequence[Case], judge: Callable[[CodeEvidence], Level]) -> float:
    return 100 * sum(LEVELS.index(judge(case.evidence)) < LEVELS.index(case.expect) for case in chosen) / len(chosen)


def _too_strict(chosen: Sequence[Case], judge: Callable[[CodeEvidence], Level]) -> float:
    return 100 * sum(LEVELS.index(judge(case.evidence)) > LEVELS.index(case.expect) for case in chosen) / len(chosen)
