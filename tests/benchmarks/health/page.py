"""``make health-page``: what the benchmark found, put where docs/health.md shows it.

The rows are kept beside the plots as docs/health/figures.json; the page's tables are made of them, between two marks
per quantity. A test holds the page to the rows, so that no figure on it is typed by hand.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.bench_row import RESULTS, ROOT

PAGE: Final = ROOT / "docs" / "health.md"
FIGURES: Final = ROOT / "docs" / "health" / "figures.json"
_BLOCK: Final = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = dict[str, Any]


def filled(page: str, rows: list[Row]) -> str:
    """The page with its tables made anew: the judged rows of a part, first those with a goal."""

    def table(block: re.Match[str]) -> str:
        return f"{block[1]}{_table([row for row in rows if row['part'] == block[2]])}{block[3]}"

    return _BLOCK.sub(table, page)


def _table(rows: list[Row]) -> str:
    lines = ["| data | kind | what | goal | reached | plain method |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda entry: entry["goal"] is None):
        _, data, split, what = (part.strip() for part in row["name"].split(" | "))
        if split != "judged":
            continue
        name, _, kind = data.rpartition(" (")
        verdict = "" if row["met"] is None else " met" if row["met"] else " **missed**"
        baseline = "" if row["baseline"] is None else f"{row['baseline']:.3g} ({row['against']})"
        reached = f"{row['value']:.4g} {row['unit']}{verdict}"
        lines.append(f"| {name} | {kind.rstrip(')')} | {what} | {_goal(row['goal'])} | {reached} | {baseline} |")
    return "\n".join(lines) + "\n"


def _goal(goal: float | list[float] | None) -> str:
    if goal is None:
        return ""
    return f"{goal[0]:g} to {goal[1]:g}" if isinstance(goal, list) else f"{goal:g}"


def main() -> None:
    """Keep the rows of the last run and make the page's tables of them."""
    rows = json.loads((RESULTS / "health.json").read_text(encoding="utf-8"))
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    print(f"{Path(PAGE).name}: tables of {len(rows)} rows")  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
