from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ingest.storing.state import EstimateState, SignalState, VehicleState
from ingest.storing.state import TroubleCode as StoredCode
from rules.context import Reading, TroubleCode, VehicleContext, bind, columns_of, subjects
from rules.rule import Rule, parse_rule, rulebook
from rules.vehicle_store import context_of
from telemetry.records import Limitation, Quantity, Source

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
CAR = UUID(int=1)
RULES = {rule.id: rule for rule in rulebook()}


def estimate(value: float, *, age: timedelta = timedelta(), source: str = "estimated") -> Reading:
    fields: dict[str, float | str | bool] = {"value": value, "low": value - 1, "high": value + 1, "source": source}
    return Reading(time=NOW - age, fields=fields, source=source)


def signal(value: float, *, age: timedelta = timedelta()) -> Reading:
    return Reading(time=NOW - age, fields={"": value}, source="ecu")


def bound_oil(context: VehicleContext) -> dict[str, object]:
    return dict(bind(RULES["oil_life_low"], "", context, NOW).values)


def test_the_ecu_counts_before_an_estimate() -> None:
    context = VehicleContext(
        vehicle_id=CAR,
        signals={"oil_life": signal(40, age=timedelta(days=1))},
        estimates={(Quantity.OIL_LIFE, ""): (estimate(8),)},
    )
    values = bound_oil(context)
    assert values["estimate.oil_life.value"] == 40
    assert values["estimate.oil_life.source"] == "ecu"
    assert values["estimate.oil_life.age_s"] == 86400


def test_a_stale_ecu_reading_gives_way_to_a_young_estimate() -> None:
    context = VehicleContext(
        vehicle_id=CAR,
        signals={"oil_life": signal(40, age=timedelta(days=15))},
        estimates={(Quantity.OIL_LIFE, ""): (estimate(8),)},
    )
    assert bound_oil(context)["estimate.oil_life.value"] == 8


def test_at_the_allowed_age_an_input_is_stale_and_left_out() -> None:
    just = timedelta(days=14)
    context = VehicleContext(vehicle_id=CAR, estimates={(Quantity.OIL_LIFE, ""): (estimate(8, age=just),)})
    assert "estimate.oil_life.value" not in bound_oil(context)
    younger = VehicleContext(
        vehicle_id=CAR, estimates={(Quantity.OIL_LIFE, ""): (estimate(8, age=just - timedelta(seconds=1)),)}
    )
    bound = bind(RULES["oil_life_low"], "", younger, NOW)
    assert bound.stale_at == NOW + timedelta(seconds=1)
    assert bound.sample_time == NOW - just + timedelta(seconds=1)


def test_each_wheel_sees_its_own() -> None:
    context = VehicleContext(vehicle_id=CAR, signals={"pad_wear_row2_right": signal(91)})
    rule = RULES["brake_pads_worn"]
    assert subjects(rule, context) == ("Row1.Left", "Row1.Right", "Row2.Left", "Row2.Right")
    worn = bind(rule, "Row2.Right", context, NOW)
    other = bind(rule, "Row1.Left", context, NOW)
    assert worn.values["wheel.pad_wear.value"] == 91
    assert "wheel.pad_wear.value" not in other.values


def test_a_code_is_as_young_as_the_newest_sample() -> None:
    seen = NOW - timedelta(days=50)
    code = TroubleCode(status="confirmed", ecu="7E8", mil=True, first_seen=seen, last_seen=seen)
    rule = RULES["trouble_code_confirmed"]
    silent = VehicleContext(vehicle_id=CAR, trouble_codes={"P0301": code})
    driving = VehicleContext(vehicle_id=CAR, trouble_codes={"P0301": code}, last_sample_at=NOW)
    assert "code.status" not in bind(rule, "P0301", silent, NOW).values
    values = bind(rule, "P0301", driving, NOW).values
    assert values["code.severity"] == "urgent"
    assert values["code.system"] == "P"


def test_the_stored_state_becomes_a_context() -> None:
    def stored(ecu: str, status: str, *, mil: bool) -> StoredCode:
        return StoredCode(code="P0301", ecu=ecu, status=status, mil=mil, first_seen=NOW, last_seen=NOW)

    state = VehicleState(
        vehicle_id=CAR,
        version=7,
        signals={"mil_on": SignalState(value=1.0, time=NOW), "speed": SignalState(value=3.0, time=NOW)},
        estimates={
            "oil_life": EstimateState(
                quantity="oil_life", position="", value=8, low=7, high=9, source="estimated", method="m/1", time=NOW
            ),
            "later": EstimateState(
                quantity="of_a_later_version", position="", value=8, low=7, high=9, source="ecu", method="m/1", time=NOW
            ),
        },
        trouble_codes=(stored("7E8", "pending", mil=True), stored("7E9", "confirmed", mil=False)),
    )
    context = context_of(state)
    assert context.signals["mil_on"].fields[""] is True
    assert set(context.estimates) == {(Quantity.OIL_LIFE, "")}
    merged = context.trouble_codes["P0301"]
    assert (merged.status, merged.ecu, merged.mil) == ("confirmed", "7E9", True)


def test_an_estimate_that_is_a_guess_is_not_known() -> None:
    def battery(source: Source, limited_by: str) -> EstimateState:
        return EstimateState(
            quantity="traction_battery_soh", position="", value=71, low=62, high=79, source=source, method="m/1",
            time=NOW, limited_by=limited_by,
        )  # fmt: skip

    def known(*found: EstimateState) -> list[str]:
        context = context_of(VehicleState(vehicle_id=CAR, estimates={str(i): one for i, one in enumerate(found)}))
        return [one.source for one in context.estimates.get((Quantity.TRACTION_BATTERY_SOH, ""), ())]

    assert known(battery("estimated", Limitation.STATE_OF_CHARGE)) == ["estimated"]
    assert known(battery("estimated", Limitation.FLAT_VOLTAGE)) == []
    assert known(battery("estimated", Limitation.FLAT_VOLTAGE), battery("ecu", "")) == ["ecu"]


def test_columns_of_names_what_history_is_needed() -> None:
    assert columns_of(RULES["oil_life_low"]) == {"oil_life"}
    assert "tire_pressure_row1_left" in columns_of(RULES["tire_losing_pressure"])
    assert columns_of(RULES["low_voltage_battery_weak"]) == set()
    assert columns_of(RULES["trouble_code_confirmed"]) == set()


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Reading(time=datetime(2026, 1, 1), fields={}, source="ecu")  # noqa: DTZ001 - that is the point


def test_the_age_of_the_car_can_be_named() -> None:
    rule: Rule = parse_rule(
        """
for_each: vehicle
applies_to: vehicle.age_years > 3.0
when: signal.speed > 1.0
needs: {signal.speed: 1d}
severity: info
title: {en: a, zh: 甲}
text: {en: a, zh: 甲}
examples: [{name: a, given: {}, expect: unknown}]
""",
        "age.yaml",
    )
    assert rule.applies_to is not None
    old = VehicleContext(vehicle_id=CAR, in_service_since=NOW - timedelta(days=4 * 366))
    values = bind(rule, "", old, NOW).values
    assert values["vehicle.age_years"] == pytest.approx(4.0, abs=0.02)
