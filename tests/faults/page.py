"""Puts the figures of build/bench/faults.json and herd.json onto docs/no-loss.md, between its markers."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.bench_row import RESULTS, ROOT, Row

PAGE: Final = ROOT / "docs" / "no-loss.md"
_HOWS: Final = ("alone", "with others")
_TIMES: Final = ("faults", "recovery, median", "recovery, p95", "recovery, longest")


def faults_table(rows: Sequence[Row]) -> str:
    """The counts, then a line for each kind: alone and with others, how often, and the recovery times in seconds."""
    values = {row["name"]: row["value"] for row in rows}
    kinds = [name.removesuffix(", alone: faults") for name in values if name.endswith(", alone: faults")]
    others = [name.removesuffix(", with others: faults") for name in values if name.endswith(", with others: faults")]
    lines = ["| counted | |", "|---|---:|"]
    lines += [f"| {row['name']} | {row['value']:,.0f} {row['unit']} |" for row in rows if ": " not in row["name"]]
    lines += [
        "",
        "Recovery in seconds: median / 95 % / longest.",
        "",
        "| fault | alone | recovery | with others | recovery |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in dict.fromkeys([*kinds, *others]):
        cells = [cell for how in _HOWS for cell in _cells(values, f"{kind}, {how}")]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def herd_table(rows: Sequence[Row]) -> str:
    """A line for each figure."""
    lines = ["| measured | |", "|---|---:|"]
    lines += [f"| {row['name']} | {row['value']:,g} {row['unit']} |" for row in rows]
    return "\n".join(lines)


def with_table(page: str, name: str, table: str) -> str:
    """The page with a table between its markers; ValueError where they are not there."""
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if between.search(page) is None:
        raise ValueError(f"{PAGE} has no markers <!-- {name} --> and <!-- /{name} -->")
    return between.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page)


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
