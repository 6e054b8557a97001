"""What the forms let people report is what the estimators take: a form must not offer what the dongle refuses."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.services import tell
from health.estimator import Estimator
from health.registry import build_estimators
from rules.services import JOBS, MEASURES, Work, records
from telemetry.records import Quantity, Sample

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
NOW = START + timedelta(hours=1)


@pytest.fixture
def driven() -> list[Estimator]:
    """The estimators of a generic car after some minutes of driving."""
    estimators = build_estimators("generic")
    for second in range(300):
        sample = Sample(
            time=START + timedelta(seconds=second),
            monotonic_ms=1000 * second,
            values={
                "Vehicle.Speed": 50.0 + second % 20,
                "Vehicle.TraveledDistance": 40_000_000.0 + 15 * second,
                "Vehicle.Powertrain.CombustionEngine.Speed": 2000.0,
                "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature": 90.0,
                "Vehicle.LowVoltageBattery.CurrentVoltage": 14.2,
                "Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure": 230.0,
            },
        )
        for estimator in estimators:
            estimator.update(sample)
    return estimators


def reportable() -> Iterator[Work]:
    yield from JOBS.values()
    for measure in MEASURES.values():
        low, _ = measure.limits
        yield measure.work(max(low, 6.5) if measure.unit == "mm" else 80.0)


@pytest.mark.parametrize(
    "work", list(reportable()), ids=lambda work: f"{work.quantity} {work.action} {work.position}".strip()
)
def test_it_is_taken_once_and_survives_a_restart(work: Work, driven: list[Estimator]) -> None:
    (record,) = records([work], time=NOW, by="workshop", reason="reported")
    assert tell(driven, record, NOW).state == "applied"
    after = [estimator.state() for estimator in driven]
    again = build_estimators("generic")
    for estimator, state in zip(again, after, strict=True):
        estimator.restore(state)
    assert tell(again, record, NOW).state == "applied"
    assert [estimator.state() for estimator in again] == after  # told twice, it counts once


def test_a_lining_thicker_than_new_pads_is_refused_in_words(driven: list[Estimator]) -> None:
    (record,) = records([MEASURES["lining_Row1"].work(25.0)], time=NOW, by="workshop", reason="reported")
    answer = tell(driven, record, NOW)
    assert answer.state == "refused"
    assert "25 mm" in answer.reason


def test_every_quantity_can_be_reported() -> None:
    assert {work.quantity for work in reportable()} == set(Quantity)
