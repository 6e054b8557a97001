"""Every part of `make bench-edge` can be run by it, and a part measured again replaces its own rows only."""

import ast

import pytest

from tests.benchmarks import bench_edge
from tests.benchmarks.bench_row import ROOT, Row, row
from tests.benchmarks.page_table import as_table


@pytest.mark.parametrize("part", bench_edge.parts())
def test_a_part_has_rows(part: str) -> None:
    source = (ROOT / "tests" / "benchmarks" / f"{bench_edge.PREFIX}{part}.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "rows"]
    assert [function.args.args for function in functions] == [[]]


def test_a_part_measured_again_replaces_its_own_rows() -> None:
    def of(part: str, value: float) -> Row:
        entry = row("x", value, "MB", at_most=2.0)
        entry["part"] = part
        return entry

    merged = bench_edge.merge([of("a", 1), of("b", 1)], "a", [of("a", 3)])
    assert [(entry["part"], entry["value"], entry["met"]) for entry in merged] == [("a", 3, False), ("b", 1, True)]


def test_a_row_on_a_page_shows_its_goal_and_keeps_to_its_cells() -> None:
    rows = [row("a | b", 1234.0, "values/s", at_least=2000.0, ratio=0.5, against="c")]
    assert as_table(rows).splitlines()[2] == "| a &#124; b | 1,234 values/s | 2000: **missed** | 0.5 of c |"
