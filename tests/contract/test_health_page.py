"""The page of figures: its tables are the benchmark's rows, and its pictures are there."""

import json
import re

from tests.benchmarks.health.page import FIGURES, PAGE, filled


def test_the_tables_are_made_of_the_rows_that_are_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page, json.loads(FIGURES.read_text(encoding="utf-8"))) == page, "run: make health-page"


def test_every_part_has_its_table() -> None:
    rows = json.loads(FIGURES.read_text(encoding="utf-8"))
    named = set(re.findall(r"<!-- figures: (\w+) -->", PAGE.read_text(encoding="utf-8")))
    assert named == {row["part"] for row in rows}


def test_its_pictures_are_there() -> None:
    pictures = re.findall(r"!\[[^]]*\]\((health/[^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert pictures
    assert all((PAGE.parent / picture).is_file() for picture in pictures)
    assert {path.name for path in (PAGE.parent / "health").glob("*.svg")} == {name.split("/")[1] for name in pictures}
