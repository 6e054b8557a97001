"""The row of every benchmark's table, as it is written to build/bench/*.json and printed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NotRequired, TypedDict

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "build" / "bench"
SHARED: Final = ROOT.parent / "shared" / "data"  # recordings that are not part of the project


class Row(TypedDict):
    """One figure. ``ratio``: how many times better than the row named ``against``, of the same run."""

    name: str
    value: float
    unit: str
    goal: float | None
    met: bool | None
    ratio: float | None
    against: str | None
    part: NotRequired[str]  # set by bench_edge: which of its parts measured it


def row(
    name: str,
    value: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    ratio: float | None = None,
    against: str | None = None,
    digits: int = 3,
) -> Row:
    """A figure, compared with its goal (an upper or a lower bound) where it has one."""
    goal = at_most if at_most is not None else at_least
    met = None if goal is None else value <= goal if at_most is not None else value >= goal
    return Row(
        name=name,
        value=round(value, digits),
        unit=unit,
        goal=goal,
        met=met,
        ratio=None if ratio is None else round(ratio, 2),
        against=against,
    )


def write(name: str, table: Sequence[Row]) -> Path:
    """Write build/bench/<name>.json."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def show(table: Sequence[Row]) -> None:
    """Print it, with goals and ratios."""
    for entry in table:
        verdict = "" if entry["met"] is None else f"  goal {entry['goal']:g}: {'met' if entry['met'] else 'MISSED'}"
        ratio = "" if entry["ratio"] is None else f"  {entry['ratio']:g} times better than {entry['against']}"
        print(f"{entry['value']:>12,} {entry['unit']:<24} {entry['name']}{ratio}{verdict}", flush=True)  # noqa: T201 - this is its output
