"""A benchmark's rows as a table, and a page with a table put between its markers."""

import re
from collections.abc import Sequence

from tests.benchmarks.bench_row import Row


def as_table(rows: Sequence[Row]) -> str:
    """A line for each figure, with its goal and what it is compared with."""
    lines = ["| measured | | goal | compared |", "|---|---:|---|---|"]
    for row in rows:
        value = f"{row['value']:,.0f}" if abs(row["value"]) >= 100 else f"{row['value']:,g}"
        goal = "" if row["goal"] is None else f"{row['goal']:g}: {'met' if row['met'] else '**missed**'}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:g} of {row['against']}"
        unit = "" if row["unit"] == "1" else row["unit"]
        cells = (row["name"], f"{value} {unit}", goal, ratio)
        lines.append(f"| {' | '.join(cell.strip().replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def with_table(page: str, name: str, table: str) -> str:
    """The page with a table between its markers; ValueError where they are not there."""
    between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if between.search(page) is None:
        raise ValueError(f"the page has no markers <!-- {name} --> and <!-- /{name} -->")
    return between.sub(lambda found: f"{found[1]}{table}\n{found[2]}", page)
