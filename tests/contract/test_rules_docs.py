"""docs/rules.md against the rules: the example is the real file, every key is described."""

from pathlib import Path

from rules import rule

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


def test_the_example_is_the_rule_itself() -> None:
    block = PAGE.split("```yaml\n", 1)[1].split("```", 1)[0]
    assert block == (ROOT / "rules" / "rulebook" / "oil_life_low.yaml").read_text(encoding="utf-8")


def test_every_key_of_a_rule_is_described() -> None:
    table = PAGE.split("| key |", 1)[1].split("\n\n", 1)[0]
    for key in rule.KEYS:
        assert f"`{key}`" in table, key
