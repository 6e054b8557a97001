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
    """The page with its tables made anew: of each part the judged rows that have a goal, or all where none has."""

    def table(block: re.Match[str]) -> str:
        judged = [row for row in rows if row["part"] == block[2] and row["name"].split(" | ")[2] == "judged"]
        shown = [row for row in judged if row["goal"] is not None] or judged
        more = len(judged) - len(shown)
        further = f"\n{more} further figures: [figures.json](health/figures.json).\n" if more else ""
        return f"{block[1]}{_table(shown)}{further}{block[3]}"

    return _BLOCK.sub(table, page)


def _table(rows: list[Row]) -> str:
    lines = ["| data | kind | what | goal | reached | plain method |", "|---|---|---|---|---|---|"]
    for row in rows:
        _, data, _, what = (part.strip() for part in row["name"].split(" | "))
        name, _, kind = data.rpartition(" (")
        verdict = "" if row["met"] is None else " met" if row["met"] else " **missed**"
        baseline = "" if row["baseline"] is None else f"{row['baseline']:.3g} ({row['against']})"
        reached = f"{row['value']:.4g} {row['unit']}{verdict}"
        lines.append(f"| {name} | {kind.rstrip(')')} | {what} | {row['bound']} | {reached} | {baseline} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Keep the rows of the last run and make the page's tables of them."""
    rows = json.loads((RESULTS / "health.json").read_text(encoding="utf-8"))
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    print(f"{Path(PAGE).name}: tables of {len(rows)} rows")  # noqa: T201 - this is its output


if __name__ == "__main__":
    main()
