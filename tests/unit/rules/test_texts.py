from datetime import UTC, datetime

import pytest

from rules.errors import RuleError
from rules.texts import Facts, check_text, date_text, fill, placeholders_of


def facts(**changes: float | None) -> Facts:
    return Facts(
        subject="Row1.Left",
        time_zone="Asia/Shanghai",
        numbers=changes,
        moments={"median_date": datetime(2026, 3, 2, 20, tzinfo=UTC), "late_date": None},
    )


def test_numbers_are_rounded_as_the_text_says() -> None:
    assert fill("{value} {value:.1f} {limit}", "en", facts(value=7.46, limit=10)) == "7 7.5 10"


def test_what_is_not_known_reads_so() -> None:
    assert fill("{value}, {late_date}", "en", facts(value=None)) == "not known, not known"
    assert fill("{value}", "zh", facts(value=None)) == "未知"


def test_a_wheel_has_a_name_in_each_language() -> None:
    assert fill("{wheel}", "en", facts()) == "front left"
    assert fill("{wheel}轮", "zh", facts()) == "左前轮"


def test_a_date_is_that_of_the_owner() -> None:
    assert fill("{median_date}", "en", facts()) == "3 March 2026"
    assert date_text(datetime(2026, 3, 2, 20, tzinfo=UTC), "zh", "UTC") == "2026年3月2日"


def test_a_value_that_looks_like_a_placeholder_is_not_filled_again() -> None:
    odd = Facts(subject="{limit}", time_zone="UTC", numbers={"limit": 1}, moments={})
    assert fill("{code}", "en", odd) == "{limit}"


def test_placeholders_are_checked() -> None:
    known = placeholders_of("wheel", shown=["value"], limit=True, forecast=False)
    check_text("{value:.1f} of {limit}, {wheel}", known, "x")
    with pytest.raises(RuleError, match="is no number"):
        check_text("{wheel:.1f}", known, "x")
    with pytest.raises(RuleError, match="median_date"):
        check_text("{median_date}", known, "x")
