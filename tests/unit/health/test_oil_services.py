"""What is kept of an oil filling: reports in time and late, restarts, older states, clocks put right."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from health.errors import HealthError
from health.oil.usage import Used, checkpoint, since, total_at
from health.oil_life import OilLife, OilLifeParameters
from health.retime import retimed
from telemetry.records import Limitation, ServiceAction
from tests.unit.health.oil_support import START, at, record, run, sample

DAY = 86_400
PARAMETERS = OilLifeParameters(life_at_start=100, budget_revolutions=10e6)


def driven(days: int, first: int = 0, oil: OilLife | None = None) -> OilLife:
    """An hour a day at 2,000 rpm: 1.2 % of the budget."""
    oil = OilLife(PARAMETERS) if oil is None else oil
    for day in range(first, first + days):
        run(oil, seconds=3600, step=60, start=day * DAY, rpm=2000, oil=90)
    return oil


def test_a_report_counts_once() -> None:
    oil, change = driven(20), record(at(10 * DAY))
    oil.serviced(change)
    once = oil.estimates(at(20 * DAY))[0]
    oil.serviced(change)
    assert oil.estimates(at(20 * DAY))[0] == once


@pytest.mark.parametrize("days_ago", [1, 5, 15])
def test_a_late_report_still_counts_what_was_driven_since(days_ago: int) -> None:
    oil = driven(20)
    oil.serviced(record(at((20 - days_ago) * DAY - 3600)))
    assert oil.estimates(at(20 * DAY))[0].value == pytest.approx(
        100 - 1.2 * days_ago - 0.27 / 20, abs=0.2 + days_ago / 9
    )


def test_beyond_the_checkpoints_it_counts_in_proportion() -> None:
    oil = driven(70)
    oil.serviced(record(at(14 * DAY)))
    used = 100 - oil.estimates(at(70 * DAY))[0].value
    assert used == pytest.approx(1.2 * 56, rel=0.03)


def test_a_change_from_before_the_dongle_charges_the_time_until_then() -> None:
    oil = OilLife(OilLifeParameters())
    run(oil, seconds=600, step=60, rpm=2000, oil=90)
    oil.serviced(record(START - timedelta(days=73)))
    estimate = oil.estimates(at(600))[0]
    assert estimate.value == pytest.approx(80, abs=0.5)
    assert 50 < estimate.low < 75
    assert estimate.limited_by in {"", Limitation.UNSEEN_DRIVING}


def test_an_older_report_is_ignored() -> None:
    oil = driven(10)
    oil.serviced(record(at(5 * DAY)))
    value = oil.estimates(at(10 * DAY))[0].value
    oil.serviced(record(at(2 * DAY)))
    assert oil.estimates(at(10 * DAY))[0].value == value


def test_a_measured_life_is_taken_as_it_is() -> None:
    oil = driven(10)
    oil.serviced(record(at(10 * DAY), ServiceAction.MEASURED, value=40.0, unit="percent"))
    estimate = oil.estimates(at(10 * DAY))[0]
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((40, 40, 40), abs=0.1)


def test_a_report_that_makes_no_sense_is_refused_and_one_of_another_part_ignored() -> None:
    oil = OilLife()
    with pytest.raises(HealthError, match="percent left"):
        oil.serviced(record(START, ServiceAction.MEASURED, value=3.0, unit="mm"))
    with pytest.raises(HealthError, match="one oil filling"):
        oil.serviced(replace(record(START), position="Row1"))
    assert oil.estimates(START) == ()


def test_a_restart_in_mid_drive_loses_nothing() -> None:
    whole, parts = OilLife(PARAMETERS), OilLife(PARAMETERS)
    for second in range(0, 3600, 10):
        values = {"rpm": 1500.0 + second % 700, "speed": 40.0, "odometer": 1e6 + 11.0 * second, "ecu": 50.0}
        if second % 30 == 0:
            values |= {"coolant": min(88.0, 10 + second / 5), "air": 10.0}
        whole.update(sample(second, **values))
        parts.update(sample(second, **values))
        if second % 600 == 0:
            saved = json.loads(json.dumps(parts.state()))
            parts = OilLife(PARAMETERS)
            parts.restore(saved)
    assert parts.estimates(at(3600)) == whole.estimates(at(3600))
    assert parts.state() == whole.state()


def test_an_older_program_s_state_is_taken_up() -> None:
    saved: dict[str, object] = {
        "estimator": "oil_life",
        "version": 1,
        "since": "2026-02-01T00:00:00Z",
        "changed": True,
        "reason": "workshop: oil and filter",
        "last": "2026-02-28T12:00:00Z",
        "newest": "2026-02-28T12:00:00Z",
        "engine_speed": 800.0,
        "oil_temperature": 85.0,
        "revolutions": 9e5,
        "used_read": 4e5,
        "used_modelled": 6e5,
        "ecu_life": 70.0,
        "ecu_time": "2026-02-28T12:00:00Z",
    }
    oil = OilLife(PARAMETERS)
    oil.restore(saved)
    ours, ecu = oil.estimates(datetime(2026, 2, 28, 12, tzinfo=UTC))
    assert ours.value == pytest.approx(90)
    assert ours.low < 89
    assert ours.high > 91
    assert ecu.value == 70
    assert oil.revolutions == 9e5
    oil.restore(saved | {"changed": False})
    assert oil.estimates(datetime(2026, 2, 28, 12, tzinfo=UTC))[0].value == pytest.approx(90)
    with pytest.raises(HealthError, match="damaged state"):
        oil.restore({"estimator": "oil_life", "version": 1})


def test_all_its_times_move_when_the_clock_is_put_right() -> None:
    oil = driven(3)
    run(oil, seconds=300, step=60, start=3 * DAY, rpm=2000, coolant=80, oil=90, ecu=9)
    run(oil, seconds=300, step=60, start=4 * DAY, rpm=2000, coolant=80, oil=90, ecu=100)
    shift = timedelta(days=400)
    oil.restore(retimed(oil.state(), lambda time: time + shift))
    assert "2026-" not in json.dumps(oil.state())


def test_totals_between_two_points_are_in_proportion() -> None:
    points = [checkpoint(at(0), Used(read=100.0)), checkpoint(at(100), Used(read=200.0, drives=2.0))]
    assert total_at(points, at(-5)).read == 100
    assert total_at(points, at(25)).read == 125
    assert total_at(points, at(500)) == Used(read=200.0, drives=2.0)
    assert since(Used(read=1.0), Used(read=3.0, assumed=1.0)).effective == 3.0
