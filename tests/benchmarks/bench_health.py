"""``make bench-health``: how good each estimate and forecast is, printed, and kept in build/bench/health.json.

A part is a module ``health/measure_<part>`` with ``rows() -> list[HealthRow]`` (see health/table.py). ``python -m
tests.benchmarks.bench_health oil pads`` runs only these. The plots are written to build/health;
``WEARCAST_BENCH_PLOTS=docs/health`` puts them where the health page shows them. ``WEARCAST_BENCH_DATA`` names another
folder of recordings of the same layout.
"""

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from rich.console import Console
from rich.table import Table

from tests.benchmarks.bench_row import RESULTS
from tests.benchmarks.health.table import DATA, PLOTS, HealthRow

PARTS: Final = Path(__file__).parent / "health"
PREFIX: Final = "measure_"


@dataclass(frozen=True)
class _Measured:
    part: str
    row: HealthRow


def parts() -> list[str]:
    """Names of all parts."""
    return sorted(file.stem.removeprefix(PREFIX) for file in PARTS.glob(f"{PREFIX}*.py"))


def main(arguments: list[str]) -> int:
    """Run the parts named, or all; 2 for a part that does not exist."""
    if unknown := [name for name in arguments if name not in parts()]:
        print(f"no part named {', '.join(unknown)}; there are: {', '.join(parts())}", file=sys.stderr)  # noqa: T201
        return 2
    if not DATA.is_dir():
        print(f"the recordings are not in {DATA}; name their folder by WEARCAST_BENCH_DATA", file=sys.stderr)  # noqa: T201
        return 2
    measured = []
    for part in arguments or parts():
        module = importlib.import_module(f"tests.benchmarks.health.{PREFIX}{part}")
        found = [_Measured(part, row) for row in cast("list[HealthRow]", module.rows())]
        measured += found
        _show(part, [entry.row for entry in found])
    _write(measured)
    return 0


def _show(part: str, rows: list[HealthRow]) -> None:
    table = Table(title=part, title_justify="left")
    for column in ("quantity", "data", "kind", "split", "metric", "goal", "reached", "baseline"):
        table.add_column(column, overflow="fold")
    for row in rows:
        verdict = "" if row.met is None else " [green]met[/]" if row.met else " [red]MISSED[/]"
        baseline = "" if row.baseline is None else f"{row.baseline:.4g} ({row.baseline_name})"
        reached = f"{row.value:.4g} {row.unit}{verdict}"
        table.add_row(row.quantity, row.data, row.kind, row.split, row.metric, _goal(row), reached, baseline)
    Console(width=170).print(table)


def _goal(row: HealthRow) -> str:
    if row.low is not None and row.high is not None:
        return f"{row.low:g} to {row.high:g}"
    if row.low is not None:
        return f"at least {row.low:g}"
    return "" if row.high is None else f"at most {row.high:g}"


def _write(measured: list[_Measured]) -> None:
    path = RESULTS / "health.json"
    before = json.loads(path.read_text()) if path.exists() else []
    renewed = {entry.part for entry in measured}
    rows = [entry for entry in before if entry["part"] not in renewed]
    for entry in measured:
        row = entry.row
        goal = row.high if row.low is None else row.low if row.high is None else [row.low, row.high]
        ratio = None if not row.baseline or not row.value else round(row.value / row.baseline, 3)
        rows.append(
            {
                "name": row.name,
                "value": round(row.value, 5),
                "unit": row.unit,
                "goal": goal,
                "bound": _goal(row),
                "met": row.met,
                "ratio": ratio,
                "against": row.baseline_name or None,
                "baseline": row.baseline,
                "part": entry.part,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {path.name} with {len(rows)} rows; plots in {PLOTS}")  # noqa: T201 - this is its output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
