"""Puts the figures of build/bench/faults.json and herd.json onto docs/no-loss.md, between its markers."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.bench_row import RESULTS, ROOT, Row
from tests.benchmarks.page_table import with_table
from tests.faults.report import SHAPE_NAMES

PAGE: Final = ROOT / "docs" / "no-loss.md"
_HOWS: Final = ("alone", "with others")
_TIMES: Final = ("faults", "recovery, median", "recovery, p95", "recovery, longest")


def faults_table(rows: Sequence[Row]) -> str:
    """The counts of each shape, then a line for each kind: how often, and its recovery times in seconds."""
    values = {row["name"]: row["value"] for row in rows}
    shapes = [shape for shape in SHAPE_NAMES.values() if f"{shape}: faults injected" in values]
    prefix = f"{shapes[0]}: "
    counted = [row for row in rows if row["name"].startswith(prefix) and row["name"].count(": ") == 1]
    lines = [f"Seed {values['seed']:.0f}.", "", f"| counted | {' | '.join(shapes)} |", f"|---|{'---:|' * len(shapes)}"]
    for row in counted:
        name = row["name"].removeprefix(prefix)
        cells = [f"{values[f'{shape}: {name}']:,.0f}" for shape in shapes]
        unit = ", s" if row["unit"] == "s" else ""
        lines.append(f"| {name}{unit} | {' | '.join(cells)} |")
    lines += [
        "",
        "Recovery in seconds: median / 95 % / longest.",
        "",
        "| on | fault | alone | recovery | with others | recovery |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for shape in shapes:
        for kind in _kinds(values, f"{shape}: "):
            cells = [cell for how in _HOWS for cell in _cells(values, f"{shape}: {kind}, {how}")]
            lines.append(f"| {shape} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _kinds(values: Iterable[str], prefix: str) -> list[str]:
    ends = [f", {how}: faults" for how in _HOWS]
    found = [
        name.removeprefix(prefix).removesuffix(end)
        for end in ends
        for name in values
        if name.startswith(prefix) and name.endswith(end)
    ]
    return list(dict.fromkeys(found))


def herd_table(rows: Sequence[Row]) -> str:
    """A line for each figure."""
    lines = ["| measured | |", "|---|---:|"]
    lines += [f"| {row['name']} | {row['value']:,g} {row['unit']} |" for row in rows]
    return "\n".join(lines)


def _cells(values: dict[str, float], name: str) -> tuple[str, str]:
    if f"{name}: faults" not in values:
        return "0", ""
    count, *times = (values[f"{name}: {time}"] for time in _TIMES)
    return f"{count:.0f}", " / ".join(f"{time:.1f}" for time in times)


def _rows(path: Path) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    return rows


def main() -> None:
    """Whichever of the two was measured."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in (("faults", faults_table), ("herd", herd_table)):
        measured = RESULTS / f"{name}.json"
        if measured.exists():
            page = with_table(page, name, table(_rows(measured)))
        else:
            sys.stderr.write(f"{measured} is not there: make faults and make bench-herd write it\n")
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
