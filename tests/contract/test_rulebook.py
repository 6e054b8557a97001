"""Each rule that ships loads, speaks both languages, and does what its own examples say."""

import re

import pytest

from rules.examples import run_example
from rules.rule import Example, Rule, rulebook
from telemetry.trouble_codes import SEVERITIES

RULES = rulebook()
EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{rule.id}: {example.name}" for rule, example in EXAMPLES]
)
def test_example_holds(rule: Rule, example: Example) -> None:
    assert run_example(rule, example).verdict == example.expect


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_a_rule_shows_that_it_fires_and_that_it_does_not(rule: Rule) -> None:
    expected = {example.expect for example in rule.examples}
    assert {"fires", "ok"} <= expected
    assert "unknown" in expected, "show what silence does"


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_an_opened_alert_reads_well(rule: Rule) -> None:
    opened = [
        result.decision.alert
        for example in rule.examples
        if (result := run_example(rule, example)).decision.action == "open"
    ]
    assert opened
    for alert in opened:
        assert alert is not None
        assert alert.severity in SEVERITIES
        for text in (*alert.title.values(), *alert.text.values()):
            assert not re.search(r"[{}]", text)
            assert "\n" not in text
        for text in (alert.title["zh"], alert.text["zh"]):
            assert re.search(r"[\u4e00-\u9fff]", text)
        for text in (alert.title["en"], alert.text["en"]):
            assert not re.search(r"[\u4e00-\u9fff]", text)
        assert len(alert.title["en"]) <= 90, "a title fits a phone's notification"


def test_at_least_the_promised_rules_are_there() -> None:
    assert {
        "oil_life_low",
        "brake_pads_worn",
        "traction_battery_soh_forecast",
        "traction_battery_soh_low",
        "low_voltage_battery_weak",
        "tire_losing_pressure",
        "trouble_code_confirmed",
    } <= {rule.id for rule in RULES}


def test_versions_are_hashes_of_content() -> None:
    assert len({rule.version for rule in RULES}) == len(RULES)
