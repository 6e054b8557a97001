"""What workshops and owners report: sane values, the order of what counts, and what a yes to a suspicion means."""

from datetime import UTC, datetime

import pytest

from ingest.outbound.services import Suspicion
from rules.services import JOBS, MEASURES, SANE, ServiceError, Work, confirmed, records
from telemetry.records import Quantity, ServiceAction

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def suspicion(quantity: Quantity, position: str = "") -> Suspicion:
    return Suspicion(event_id=1, time=NOW, quantity=str(quantity), position=position, certainty=0.9, why="")


def test_every_part_can_be_reported_on() -> None:
    assert {work.quantity for work in JOBS.values()} == set(Quantity)


def test_records_carry_what_was_done() -> None:
    work = [JOBS["pads_front"], MEASURES["lining_Row1"].work(11.5)]
    replaced, measured = records(work, time=NOW, by="workshop", reason="booking 7")
    assert (replaced.action, replaced.position, replaced.value) == (ServiceAction.REPLACED, "Row1", None)
    assert (measured.action, measured.value, measured.unit) == (ServiceAction.MEASURED, 11.5, "mm")
    assert replaced.id != measured.id
    assert {replaced.time, measured.time} == {NOW}


@pytest.mark.parametrize("name", MEASURES)
def test_what_is_measured_lies_within_its_limits(name: str) -> None:
    measure = MEASURES[name]
    low, high = measure.limits
    assert measure.work(low).value == low
    assert measure.work(high).value == high
    for wrong in (low - 0.1, high + 0.1):
        with pytest.raises(ServiceError, match="cannot be; give"):
            measure.work(wrong)


@pytest.mark.parametrize(
    ("quantity", "unit", "hint"),
    [
        (Quantity.PAD_WEAR, "inch", "give it in mm or percent"),
        (Quantity.TIRE_PRESSURE_LOSS, "kPa", "nothing can be measured of it"),
    ],
)
def test_a_unit_that_is_none_is_refused_with_what_to_give(quantity: Quantity, unit: str, hint: str) -> None:
    with pytest.raises(ServiceError, match=hint):
        Work(quantity=quantity, action=ServiceAction.MEASURED, value=5.0, unit=unit)


def test_not_a_number_is_no_measurement() -> None:
    with pytest.raises(ServiceError):
        MEASURES["lining_Row1"].work(float("nan"))


@pytest.mark.parametrize("position", ["Row3", "Row1.Middle", "front", "Row1."])
def test_a_position_that_is_none_is_refused(position: str) -> None:
    with pytest.raises(ServiceError, match="position"):
        Work(quantity=Quantity.PAD_WEAR, action=ServiceAction.REPLACED, position=position)


def test_a_value_goes_with_a_measurement_alone() -> None:
    with pytest.raises(ServiceError, match="value"):
        Work(quantity=Quantity.PAD_WEAR, action=ServiceAction.REPLACED, value=5.0, unit="mm")
    with pytest.raises(ServiceError, match="value"):
        Work(quantity=Quantity.PAD_WEAR, action=ServiceAction.MEASURED)
    assert all(low < high for low, high in SANE.values())


def test_a_yes_means_replaced_and_of_tyres_pumped_up() -> None:
    assert confirmed(suspicion(Quantity.PAD_WEAR, "Row2")) == JOBS["pads_rear"]
    assert confirmed(suspicion(Quantity.OIL_LIFE)) == JOBS["oil_changed"]
    assert confirmed(suspicion(Quantity.TIRE_PRESSURE_LOSS)) == JOBS["tires_inflated"]
    assert confirmed(suspicion(Quantity.PAD_WEAR, "a device's odd word")).position == ""
