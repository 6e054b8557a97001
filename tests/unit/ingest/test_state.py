"""The latest state depends on what was measured when, never on the order of arrival."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ingest.storing.state import VehicleState, merge
from telemetry.records import BatchKey, Estimate, EventKind, EventsBatch, Quantity, ReadingsBatch, Sample, VehicleEvent

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
EMPTY = VehicleState(vehicle_id=UUID(int=1))
SPEED = "Vehicle.Speed"
VOLTAGE = "Vehicle.LowVoltageBattery.CurrentVoltage"


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def key(sequence: int = 1) -> BatchKey:
    return BatchKey(device="d1", boot=UUID(int=2), sequence=sequence)


def readings(*samples: tuple[int, dict[str, float]], estimates: Sequence[Estimate] = ()) -> ReadingsBatch:
    return ReadingsBatch(
        key=key(),
        samples=tuple(Sample(time=at(second), monotonic_ms=0, values=values) for second, values in samples),
        estimates=tuple(estimates),
    )


def estimate(second: int, value: float, position: str = "") -> Estimate:
    return Estimate(
        time=at(second), quantity=Quantity.PAD_WEAR, position=position, value=value, low=value - 1, high=value + 1,
        source="estimated", method="test/1",
    )  # fmt: skip


def event(
    second: int, kind: EventKind, code: str = "P0301", ecu: str = "7E8", status: str = "confirmed"
) -> EventsBatch:
    data = {"code": code, "ecu": ecu, "status": status, "mil": True}
    return EventsBatch(key=key(), events=(VehicleEvent(time=at(second), kind=kind, data=data),))


def seen(state: VehicleState) -> list[tuple[str, str, int, int]]:
    return [
        (
            code.code,
            code.status,
            int((code.first_seen - START).total_seconds()),
            int((code.last_seen - START).total_seconds()),
        )
        for code in state.trouble_codes
    ]


def test_the_newest_sample_wins_per_signal() -> None:
    state = merge(EMPTY, [readings((5, {SPEED: 50.0}), (3, {SPEED: 30.0, VOLTAGE: 12.5}))], NOW)
    assert (state.value("speed"), state.value("low_voltage_battery_voltage")) == (50.0, 12.5)
    assert state.signals["low_voltage_battery_voltage"].time == at(3)
    assert state.last_sample_at == at(5)
    assert (state.version, state.changed_at) == (1, NOW)


def test_of_what_a_batch_says_twice_of_one_instant_the_latter_counts() -> None:
    """Of estimates as of samples; another batch has to bring something newer."""
    twice = readings((5, {SPEED: 1.0}), (5, {SPEED: 2.0}), estimates=[estimate(5, 10.0), estimate(5, 20.0)])
    state = merge(EMPTY, [twice, readings((5, {SPEED: 3.0}), estimates=[estimate(5, 30.0)])], NOW)
    assert (state.value("speed"), [entry.value for entry in state.estimates.values()]) == (2.0, [20.0])


def test_a_late_batch_fills_gaps_and_overwrites_nothing() -> None:
    state = merge(EMPTY, [readings((9, {SPEED: 90.0}))], NOW)
    later = merge(state, [readings((1, {SPEED: 10.0, VOLTAGE: 12.0}))], NOW)
    assert (later.value("speed"), later.value("low_voltage_battery_voltage")) == (90.0, 12.0)
    assert later.last_sample_at == at(9)
    assert later.version == 2


def test_what_brings_nothing_newer_changes_nothing() -> None:
    state = merge(EMPTY, [readings((9, {SPEED: 90.0}), estimates=[estimate(9, 50)])], NOW)
    trip = EventsBatch(key=key(), events=(VehicleEvent(time=at(9), kind=EventKind.TRIP_STARTED),))
    assert (
        merge(state, [readings((9, {SPEED: 1.0}), (1, {SPEED: 2.0}), estimates=[estimate(2, 4)]), trip], NOW) is state
    )
    assert merge(state, [], NOW) is state


def test_what_nothing_is_added_to_stays_the_same_object() -> None:
    both: list[ReadingsBatch | EventsBatch] = [
        readings((1, {SPEED: 1.0}), estimates=[estimate(1, 50)]),
        event(1, EventKind.DTC_APPEARED),
    ]
    state = merge(EMPTY, both, NOW)
    driven = merge(state, [readings((2, {SPEED: 2.0}))], NOW)
    assert driven.estimates is state.estimates
    assert (driven.trouble_codes, driven.cleared_codes) == (state.trouble_codes, state.cleared_codes)
    assert driven.trouble_codes is state.trouble_codes
    assert merge(state, [readings(estimates=[estimate(2, 60)])], NOW).signals is state.signals


def test_several_batches_are_one_version() -> None:
    assert merge(EMPTY, [readings((1, {SPEED: 1.0})), readings((2, {SPEED: 2.0}))], NOW).version == 1


def test_what_the_car_says_and_what_is_estimated_stand_side_by_side() -> None:
    told = replace(estimate(5, 42), source="ecu")
    state = merge(EMPTY, [readings(estimates=[estimate(9, 50), told])], NOW)
    assert {key: entry.value for key, entry in state.estimates.items()} == {
        "pad_wear/estimated": 50,
        "pad_wear/ecu": 42,
    }


def test_estimates_are_kept_per_wheel() -> None:
    given_now = [estimate(1, 10, "Row1.Left"), estimate(2, 20, "Row1.Right"), estimate(3, 30)]
    state = merge(EMPTY, [readings(estimates=given_now), readings(estimates=[estimate(0, 99, "Row1.Left")])], NOW)
    assert {name: entry.value for name, entry in state.estimates.items()} == {
        "pad_wear@Row1.Left/estimated": 10, "pad_wear@Row1.Right/estimated": 20, "pad_wear/estimated": 30,
    }  # fmt: skip
    assert state.estimates["pad_wear@Row1.Left/estimated"].position == "Row1.Left"
    assert state.last_sample_at is None


def test_a_code_appears_changes_and_is_cleared() -> None:
    state = merge(EMPTY, [event(1, EventKind.DTC_APPEARED, status="pending")], NOW)
    assert seen(state) == [("P0301", "pending", 1, 1)]
    state = merge(state, [event(5, EventKind.DTC_CHANGED)], NOW)
    assert seen(state) == [("P0301", "confirmed", 1, 5)]
    state = merge(state, [event(9, EventKind.DTC_CLEARED)], NOW)
    assert seen(state) == []
    assert state.version == 3


def test_a_late_appearance_does_not_bring_a_cleared_code_back() -> None:
    state = merge(EMPTY, [event(9, EventKind.DTC_CLEARED)], NOW)
    assert merge(state, [event(5, EventKind.DTC_APPEARED)], NOW) is state
    assert seen(merge(state, [event(10, EventKind.DTC_APPEARED)], NOW)) == [("P0301", "confirmed", 10, 10)]


def test_a_late_clearing_before_a_new_appearance_begins_a_new_episode() -> None:
    batches = [event(1, EventKind.DTC_APPEARED), event(8, EventKind.DTC_APPEARED), event(5, EventKind.DTC_CLEARED)]
    assert seen(merge(EMPTY, batches, NOW)) == [("P0301", "confirmed", 8, 8)]


def test_one_code_of_two_control_units_is_two_entries() -> None:
    both = [event(1, EventKind.DTC_APPEARED, ecu="7E8"), event(1, EventKind.DTC_APPEARED, ecu="7E9")]
    state = merge(EMPTY, [*both, event(2, EventKind.DTC_CLEARED, ecu="7E8")], NOW)
    assert [(code.code, code.ecu) for code in state.trouble_codes] == [("P0301", "7E9")]


@given(st.permutations(range(6)))
def test_any_order_of_arrival_gives_the_same_state(order: Sequence[int]) -> None:
    batches: list[ReadingsBatch | EventsBatch] = [
        readings((1, {SPEED: 1.0}), (2, {VOLTAGE: 12.2})),
        readings((3, {SPEED: 3.0}), estimates=[estimate(3, 30)]),
        readings((2, {SPEED: 2.0}), estimates=[estimate(4, 40)]),
        event(1, EventKind.DTC_APPEARED),
        event(5, EventKind.DTC_CLEARED),
        event(7, EventKind.DTC_APPEARED, status="pending"),
    ]
    in_order = merge(EMPTY, batches, NOW)
    shuffled = EMPTY
    for number in order:
        shuffled = merge(shuffled, [batches[number]], NOW)
    assert shuffled.signals == in_order.signals
    assert shuffled.estimates == in_order.estimates
    assert shuffled.trouble_codes == in_order.trouble_codes
    assert shuffled.last_sample_at == in_order.last_sample_at


@st.composite
def arrivals(draw: st.DrawFn) -> list[ReadingsBatch | EventsBatch]:
    seconds, values = st.integers(0, 5), st.sampled_from([1.0, 2.0, 3.0])
    sample = st.tuples(seconds, st.dictionaries(st.sampled_from([SPEED, VOLTAGE]), values, min_size=1))
    batch = st.one_of(
        st.builds(lambda samples: readings(*samples), st.lists(sample, min_size=1, max_size=3)),
        st.builds(lambda second, value: readings(estimates=[estimate(second, value)]), seconds, values),
        st.builds(event, seconds, st.sampled_from([EventKind.DTC_APPEARED, EventKind.DTC_CLEARED])),
    )
    drawn = draw(st.lists(batch, max_size=6))
    return [replace(entry, key=key(number)) for number, entry in enumerate(drawn, start=1)]


@given(arrivals(), st.integers(0, 3))
def test_batches_of_a_group_change_what_they_change_one_after_the_other(
    batches: list[ReadingsBatch | EventsBatch], before: int
) -> None:
    known = merge(EMPTY, batches[:before], NOW)
    together, apart = merge(known, batches[before:], NOW), known
    for batch in batches[before:]:
        apart = merge(apart, [batch], NOW)
    assert replace(together, version=0) == replace(apart, version=0)
