from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from rules.errors import RuleError
from rules.rule import load_rules, parse_rule

GOOD = """
for_each: vehicle
limit: 10
when: estimate.oil_life.value < limit
clear: estimate.oil_life.value > 25.0
for: 10min
needs: {estimate.oil_life: 14d}
severity: soon
show: {value: estimate.oil_life.value}
title: {en: "Oil low", zh: "机油"}
text: {en: "{value:.1f} % of {limit}", zh: "{value}%"}
book: oil_change
examples: [{name: low, given: {estimate.oil_life: 5}, expect: fires}]
"""


def changed(**changes: object) -> str:
    document = yaml.safe_load(GOOD)
    for key, value in changes.items():
        if value is None:
            del document[key]
        else:
            document[key] = value
    return yaml.safe_dump(document, allow_unicode=True)


def test_a_rule_is_read() -> None:
    rule = parse_rule(GOOD, "oil.yaml")
    assert rule.id == "oil"
    assert rule.hold == timedelta(minutes=10)
    assert rule.needs == {"estimate.oil_life": timedelta(days=14)}
    assert rule.limit == 10.0
    assert rule.job == "oil_change"
    assert rule.clear is not None


def test_the_version_follows_the_content_and_not_the_examples_or_layout() -> None:
    version = parse_rule(GOOD, "oil.yaml").version
    assert parse_rule("# a remark\n" + GOOD, "oil.yaml").version == version
    more = [{"name": "x", "given": {}, "expect": "unknown"}]
    assert parse_rule(changed(examples=more), "oil.yaml").version == version
    assert parse_rule(changed(limit=11), "oil.yaml").version != version
    assert parse_rule(changed(title={"en": "Oil", "zh": "油"}), "oil.yaml").version != version


FORECAST = {"quantity": "oil_life", "falling": True, "history": "90d"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"wen": "x"}, "oil.yaml: unknown key 'wen'; did you mean 'when'"),
        ({"severity": None}, "key 'severity' is missing"),
        ({"severity": "son"}, "severity: 'son' is none of .*did you mean 'soon'"),
        ({"for_each": "wheels"}, "did you mean 'wheel'"),
        ({"for": 10}, "for: 10 has no unit; did you mean '10s'"),
        ({"for": "10 weeks"}, "unknown unit 'weeks'"),
        ({"for": "soon"}, "no duration"),
        ({"when": "estimate.oil_lif.value < limit"}, "when: unknown variable .*did you mean"),
        ({"when": 5}, "when: expected a text"),
        ({"limit": "ten"}, "limit: expected a number"),
        ({"limit": None}, "unknown variable 'limit'"),
        ({"needs": {"estimate.oil_lif": "14d"}}, "unknown input .*did you mean 'estimate.oil_life'"),
        ({"needs": {"estimate.oil_life": "0s"}}, "never met"),
        ({"needs": {}}, "'estimate.oil_life' is used and has no age"),
        ({"needs": {"estimate.oil_life": "14d", "signal.speed": "1d"}}, "'signal.speed' is used nowhere"),
        ({"title": {"en": "Oil low"}}, "title: key 'zh' is missing"),
        ({"title": {"en": "Oil low", "zh": " "}}, "title.zh: expected a text"),
        ({"text": {"en": "{valu}", "zh": "x"}}, "text.en: unknown placeholder {valu}; did you mean 'value'"),
        ({"text": {"en": "{wheel}", "zh": "x"}}, "unknown placeholder {wheel}"),
        ({"text": {"en": "{value!r}", "zh": "x"}}, "brace"),
        ({"show": {"value": "signal.speed > 1.0"}}, "show.value: .*not double"),
        ({"severity_from": "estimate.oil_life.value"}, "severity_from: .*not string"),
        ({"applies_to": "estimate.oil_life.value > 1.0"}, "vehicle.* only"),
        ({"forecast": FORECAST | {"quantity": "pad_wear"}}, "for_each: wheel"),
        ({"forecast": FORECAST | {"falling": "yes"}}, "falling: expected true"),
        ({"examples": []}, "at least one"),
        ({"examples": [{"name": "a", "given": {"signal.speed": 1}, "expect": "ok"}]}, "no input of this rule"),
        ({"examples": [{"name": "a", "given": {}, "expect": "fire"}]}, "did you mean 'fires'"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], text: str) -> None:
    with pytest.raises(RuleError, match=text):
        parse_rule(changed(**changes), "oil.yaml")


def test_a_forecast_must_be_declared_to_be_used() -> None:
    source = changed(
        when="forecast.oil_life.probability_30d > 0.5 && estimate.oil_life.value > limit",
        needs={"forecast.oil_life": "30d", "estimate.oil_life": "14d"},
    )
    with pytest.raises(RuleError, match="under `forecast`"):
        parse_rule(source, "oil.yaml")


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(RuleError, match="'limit' stands twice"):
        parse_rule(GOOD + "limit: 12\n", "oil.yaml")


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(RuleError, match=r"oil\.yaml: not YAML"):
        parse_rule("a: [", "oil.yaml")
    with pytest.raises(RuleError, match="expected a mapping"):
        parse_rule("- a", "oil.yaml")


def test_a_folder_is_loaded_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "a.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a rule", encoding="utf-8")
    assert [rule.id for rule in load_rules(tmp_path)] == ["a", "b"]


def test_an_empty_or_absent_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="at least one rule"):
        load_rules(tmp_path)
    with pytest.raises(RuleError, match="no such folder"):
        load_rules(tmp_path / "nowhere")
