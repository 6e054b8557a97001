"""The page on security: every test it names for an attack is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line for line in (ROOT / "docs" / "security.md").read_text("utf-8").splitlines() if "::test_" in line]
NAMED = sorted({name for row in ROWS for name in re.findall(r"`(tests/[\w/]+\.py::test_\w+)`", row)})


def test_every_row_names_a_test() -> None:
    assert len(ROWS) >= 16
    assert all(re.search(r"`tests/[\w/]+\.py::test_\w+` \|$", row) for row in ROWS)


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_is_named_is_there(named: str) -> None:
    file, _, name = named.partition("::")
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
