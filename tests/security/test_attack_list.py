"""The list of attacks in docs/security.md is that of the tests."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "security.md"
_MARK = re.compile(r'attack\(\s*"([^"]+)",\s*answer="([^"]+)",?\s*\)')


def test_every_attack_stands_in_the_docs_with_its_answer() -> None:
    tested = [
        f"| {name} | {answer} | `tests/security/{file.name}` |"
        for file in sorted(FOLDER.glob("test_*.py"))
        if file.name != Path(__file__).name
        for name, answer in _MARK.findall(file.read_text(encoding="utf-8"))
    ]
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.endswith(".py` |")]
    assert tested
    assert rows == tested
