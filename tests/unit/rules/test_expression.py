import threading

import pytest

from rules.errors import EvaluationError, RuleError
from rules.expression import Expression, Kind, Value

WORDS: dict[str, Kind] = {
    "estimate.oil_life.value": "double",
    "signal.speed": "double",
    "signal.mil_on": "bool",
    "limit": "double",
    "code.status": "string",
}


def condition(source: str, result: Kind = "bool") -> Expression:
    return Expression(source, result=result, vocabulary=WORDS, where="a.yaml: when")


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("signal.speed < 10", {"signal.speed": 9.5}, True),
        ("signal.speed < 10.0", {"signal.speed": 10.0}, False),
        ("signal.speed + 1.0 > 2.0", {"signal.speed": 1.5}, True),
        ("signal.mil_on && signal.speed > 1", {"signal.mil_on": True, "signal.speed": 2.0}, True),
        ('code.status in ["confirmed", "permanent"]', {"code.status": "permanent"}, True),
        ('code.status.startsWith("conf") // a.b.c', {"code.status": "confirmed"}, True),
        ('code.status == "signal.nothing"', {"code.status": "x"}, False),
    ],
)
def test_conditions(source: str, values: dict[str, Value], expected: bool) -> None:
    assert condition(source).evaluate(values) is expected


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("signal.speed < 10", {}, None),
        ("!(signal.speed < 10)", {}, None),
        ("signal.speed < 10 || limit > 1", {"limit": 2.0}, True),
        ("limit > 1 || signal.speed < 10", {"limit": 2.0}, True),
        ("signal.speed < 10 || limit > 1", {"limit": 0.0}, None),
        ("signal.speed < 10 && limit > 1", {"limit": 0.0}, False),
        ("limit > 1 && signal.speed < 10", {"limit": 2.0}, None),
        ("signal.speed < 10 ? true : false", {}, None),
    ],
)
def test_an_absent_value_is_unknown_unless_the_rest_decides(
    source: str, values: dict[str, Value], expected: bool | None
) -> None:
    assert condition(source).evaluate(values) is expected


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("estimate.oil_lif.value < 1", r"a\.yaml: when: unknown variable .*did you mean 'estimate.oil_life.value'"),
        ("estimate.oil_life < 1", "unknown variable 'estimate.oil_life'"),
        ("signal.speed <", "Syntax error"),
        ("signal.speed + 1 > 2", "float \\+ int"),
        ("signal.mil_on || signal.speed + 1 > 2", "float \\+ int"),
        ("signal.speed", "gives float, not bool"),
        ("has(signal.speed)", "silence"),
        ('signal["speed"] > 1', "with a dot"),
        ("(signal).speed > 1", "whole dotted name"),
        ("[1.0].exists(x, x > signal.speed)", "unknown variable 'x'"),
        ("sqrt(signal.speed) > 1", "sqrt"),
        ('code.status == "a" && limit', "No such overload|not bool"),
    ],
)
def test_a_wrong_expression_is_refused_when_loaded(source: str, text: str) -> None:
    with pytest.raises(RuleError, match=text):
        condition(source)


def test_a_value_of_the_wrong_type_is_an_error_and_not_unknown() -> None:
    with pytest.raises(EvaluationError, match="cannot be computed"):
        condition("signal.speed < 10").evaluate({"signal.speed": float("nan")})


def test_a_number_is_a_float_even_if_written_as_int() -> None:
    assert condition("2", "double").evaluate({}) == 2.0


def test_one_expression_serves_many_threads() -> None:
    shared = condition("estimate.oil_life.value < limit")
    wrong: list[int] = []

    def judge() -> None:
        for number in range(2000):
            value = number % 20
            if shared.evaluate({"estimate.oil_life.value": float(value), "limit": 10.0}) is not (value < 10):
                wrong.append(value)

    threads = [threading.Thread(target=judge) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
