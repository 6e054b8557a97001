"""What the events of a code say of it: on how many days it came up, and which freeze frame is its present one."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rules.code_history import Sighting, sighting, with_history
from rules.context import TroubleCode
from telemetry.records import EventKind

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LOAD = "Vehicle.OBD.EngineLoad"


def code(since: datetime = NOW - DAY, status: str = "pending") -> TroubleCode:
    return TroubleCode(status=status, ecu="7E8", mil=False, first_seen=since, last_seen=since)


APPEARED, CHANGED, CLEARED = EventKind.DTC_APPEARED, EventKind.DTC_CHANGED, EventKind.DTC_CLEARED


def seen(
    time: datetime, name: str = "P0301", *, kind: EventKind = APPEARED, ecu: str = "7E8", load: float | None = None
) -> Sighting:
    return Sighting(time=time, code=name, ecu=ecu, kind=kind, frame={} if load is None else {LOAD: load})


def episode(begins: datetime, name: str = "P0301", *, load: float | None = None) -> list[Sighting]:
    return [seen(begins, name, load=load), seen(begins + timedelta(minutes=10), name, kind=CLEARED)]


def days(*sightings: Sighting) -> int:
    return with_history({"P0301": code()}, sightings, NOW)["P0301"].days_seen


def test_days_are_counted_once_each_and_only_those_of_a_month() -> None:
    twice_a_day = (*episode(NOW - 10 * DAY), *episode(NOW - 10 * DAY + timedelta(hours=1)))
    assert days(*episode(NOW - 40 * DAY), *twice_a_day, seen(NOW - DAY)) == 2


def test_a_change_of_status_is_no_return() -> None:
    assert days(seen(NOW - 2 * DAY), seen(NOW - DAY, kind=CHANGED)) == 1


def test_a_dongle_that_tells_a_code_again_without_its_clearing_does_not_make_it_return() -> None:
    assert days(seen(NOW - 9 * DAY), seen(NOW - 5 * DAY), seen(NOW - DAY)) == 1
    assert days(seen(NOW - 9 * DAY), seen(NOW - 6 * DAY, kind=CLEARED), seen(NOW - 5 * DAY), seen(NOW - DAY)) == 2


def test_a_code_cleared_in_one_control_unit_has_not_returned_in_the_other() -> None:
    other = seen(NOW - 5 * DAY, ecu="7E9")
    assert days(seen(NOW - 5 * DAY), other, seen(NOW - 4 * DAY, ecu="7E9", kind=CLEARED), seen(NOW - 3 * DAY)) == 1


def test_each_code_has_its_own_history_and_one_without_events_has_one_day() -> None:
    found = with_history({"P0301": code(), "P0420": code()}, [*episode(NOW - 3 * DAY), seen(NOW - DAY)], NOW)
    assert (found["P0301"].days_seen, found["P0420"].days_seen) == (2, 1)


def test_the_newest_frame_of_the_present_episode_counts() -> None:
    events = [
        *episode(NOW - 8 * DAY, load=95.0),
        seen(NOW - DAY, load=40.0),
        seen(NOW - timedelta(hours=1), kind=CHANGED, load=55.0),
        seen(NOW - timedelta(minutes=1), kind=CHANGED),
    ]
    assert with_history({"P0301": code(NOW - DAY)}, events, NOW)["P0301"].frame == {LOAD: 55.0}


def test_what_lies_ahead_is_not_known_yet() -> None:
    found = with_history({"P0301": code()}, [seen(NOW + DAY, load=99.0)], NOW)["P0301"]
    assert (found.days_seen, found.frame) == (1, {})


def test_of_a_stored_frame_only_numbers_of_known_signals_are_taken() -> None:
    stored = {LOAD: 80, "Vehicle.Speed": "fast", "Vehicle.NoSuch": 1.0, "Vehicle.OBD.RunTimeMIL": True}
    assert sighting(NOW, "dtc.appeared", "P0301", "7E8", stored) == seen(NOW, load=80.0)
    nonsenses: tuple[object, ...] = (None, [], "x", 3)
    for nonsense in nonsenses:
        assert sighting(NOW, "dtc.changed", "P0301", "7E8", nonsense).frame == {}


@given(st.lists(st.integers(0, 60 * 24)), st.randoms())
def test_the_order_of_events_does_not_matter(hours_ago: list[int], order: random.Random) -> None:
    events = [seen(NOW - timedelta(hours=hours), load=float(hours % 100)) for hours in sorted(set(hours_ago))]
    shuffled = list(events)
    order.shuffle(shuffled)
    present = {"P0301": code(NOW - 20 * DAY)}
    assert with_history(present, shuffled, NOW) == with_history(present, events, NOW)
