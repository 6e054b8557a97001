from datetime import timedelta

import pytest

from health.oil import change as oil_change
from health.oil.change import BELIEVED, ChangeWatch
from health.oil_life import OilLife, OilLifeParameters
from telemetry.records import EventKind, Limitation, ServiceAction
from tests.unit.health.oil_support import START, at, record, run, sample

DAY = 86_400


def certainty(readings: list[dict[str, float]], used_share: float = 0.9) -> float:
    watch = ChangeWatch()
    for number, values in enumerate(readings):
        oil_change.look(watch, sample(number * 60, **values))
    return oil_change.certainty(watch, used_share) if watch.seen else 0.0


@pytest.mark.parametrize(
    ("readings", "least", "most"),
    [
        ([{"ecu": 8}, {"ecu": 100}, {"ecu": 100}], 0.99, 1.0),
        ([{"ecu": 8}, {"ecu": 100}], 0.0, 0.0),  # once may be a misread
        ([{"ecu": 8}, {"ecu": 100}, {"ecu": 8}, {"ecu": 8}], 0.0, 0.0),
        ([{"ecu": 60}, {"ecu": 3}, {"ecu": 60}, {"ecu": 60}], 0.0, 0.0),
        ([{"ecu": 40}, {"ecu": 44}, {"ecu": 44}], 0.0, 0.0),
        ([{"ecu": 40}, {"ecu": 60}, {"ecu": 60}], 0.3, 0.9),
        ([{"service_km": 400}, {"service_km": 15_000}, {"service_km": 15_000}], 0.9, 0.99),
        ([{"cleared_km": 4000}, {"cleared_km": 0}], 0.1, BELIEVED - 0.01),
        (
            [{"cleared_km": 4000, "service_km": 400}, *[{"cleared_km": 0, "service_km": 15_000}] * 2],
            0.98,
            1.0,
        ),
    ],
)
def test_signs_are_weighed(readings: list[dict[str, float]], least: float, most: float) -> None:
    assert least <= certainty(readings) <= most


def test_a_sign_counts_for_less_while_the_oil_is_fresh() -> None:
    readings: list[dict[str, float]] = [{"service_km": 9000}, {"service_km": 15_000}, {"service_km": 15_000}]
    assert certainty(readings, 0.1) < certainty(readings, 0.6) < certainty(readings, 0.9)


def used_oil() -> OilLife:
    oil = OilLife(OilLifeParameters(life_at_start=100, budget_revolutions=1e6))
    run(oil, seconds=6 * 3600, step=60, rpm=2500, oil=90, ecu=9)
    return oil


def test_a_change_nobody_reported_is_told_once_and_raises_only_the_interval() -> None:
    oil = used_oil()
    before = oil.estimates(at(DAY))[0]
    run(oil, seconds=600, step=60, start=DAY, rpm=2500, oil=90, ecu=100)
    (event,) = oil.findings()
    assert event.kind is EventKind.SERVICE_SUSPECTED
    assert (event.data["quantity"], event.data["position"]) == ("oil_life", "")
    assert float(str(event.data["certainty"])) >= 0.99
    assert oil.findings() == ()
    after = oil.estimates(at(DAY + 600))[0]
    assert after.value < before.value
    assert after.low < before.low
    assert after.high > 95
    assert after.limited_by == Limitation.SERVICE_UNREPORTED
    run(oil, seconds=3600, step=60, start=2 * DAY, rpm=2500, oil=90, ecu=99)
    assert oil.estimates(at(2 * DAY + 3600))[0].high < after.high - 10  # the new oil ages as well


def test_the_report_makes_an_end_of_suspicion() -> None:
    oil = used_oil()
    run(oil, seconds=600, step=60, start=DAY, rpm=2500, oil=90, ecu=100)
    oil.serviced(record(at(DAY - 3600)))
    estimate = oil.estimates(at(DAY + 600))[0]
    assert estimate.value == pytest.approx(97.5, abs=0.5)  # 25,000 revolutions since
    assert estimate.low > 90
    assert estimate.limited_by == ""


def test_a_reset_after_the_report_is_that_of_the_report() -> None:
    oil = used_oil()
    oil.serviced(record(at(DAY)))
    run(oil, seconds=300, step=60, start=DAY, rpm=2500, oil=90, ecu=9)
    run(oil, seconds=300, step=60, start=2 * DAY, rpm=2500, oil=90, ecu=100)
    assert oil.findings() == ()


def test_a_second_unreported_change_is_told_again() -> None:
    oil = used_oil()
    for days, life in ((1, 100), (100, 20), (101, 100)):
        run(oil, seconds=300, step=60, start=days * DAY, rpm=2500, oil=90, ecu=life)
    assert len(oil.findings()) == 2
    assert oil.estimates(START + timedelta(days=101))[0].high > 95


def test_topping_up_is_no_change() -> None:
    oil = used_oil()
    before = oil.estimates(at(DAY))[0]
    oil.serviced(record(at(DAY), ServiceAction.ADJUSTED))
    assert oil.estimates(at(DAY))[0] == before
