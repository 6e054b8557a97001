"""What an alert says comes from the rule and from what it saw."""

from rules.examples import run_example
from rules.rule import rulebook

RULES = {rule.id: rule for rule in rulebook()}


def opened(rule_id: str, example: str) -> dict[str, str]:
    rule = RULES[rule_id]
    result = run_example(rule, next(one for one in rule.examples if one.name == example))
    assert result.passed
    assert result.decision.alert is not None
    return {"severity": result.decision.alert.severity, **result.decision.alert.text}


def test_the_owner_reads_value_and_what_to_do() -> None:
    alert = opened("oil_life_low", "nearly used up")
    assert "has 8 % of its life" in alert["en"]
    assert "within the next two weeks" in alert["en"]
    assert "两周内" in alert["zh"]


def test_a_forecast_names_the_day() -> None:
    alert = opened("traction_battery_soh_forecast", "about to cross")
    assert "80.6 %" in alert["en"]
    assert "20 March 2026" in alert["en"]  # 18 days after the examples' 2 March
    assert "2026年3月20日" in alert["zh"]


def test_a_wheel_is_named() -> None:
    assert "front left" in opened("brake_pads_worn", "at the limit")["en"]
    assert "左前轮" in opened("brake_pads_worn", "at the limit")["zh"]


def test_severity_follows_what_was_seen() -> None:
    assert opened("tire_losing_pressure", "slow puncture")["severity"] == "soon"
    assert opened("tire_losing_pressure", "low with no trend yet")["severity"] == "urgent"
    assert opened("trouble_code_confirmed", "misfire")["severity"] == "urgent"
    assert opened("trouble_code_confirmed", "permanent")["severity"] == "soon"


def test_what_decided_alone_needs_no_other_number() -> None:
    assert "Loss per day: not known" in opened("tire_losing_pressure", "low with no trend yet")["en"]
