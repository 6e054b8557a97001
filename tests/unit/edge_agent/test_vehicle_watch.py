"""Events from successive readings: trouble codes, trips, identification."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.base import DtcStatus, Identified, Reading, TroubleCode
from edge_agent.vehicle_watch import ENGINE_SPEED, SPEED, VehicleWatch
from telemetry.records import EventKind, VehicleEvent

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def code(name: str, status: DtcStatus = "confirmed", *, ecu: str = "7E8", lamp: bool | None = None) -> TroubleCode:
    return TroubleCode(code=name, ecu=ecu, status=status, warning_lamp=lamp)


def read(*codes: TroubleCode) -> Reading:
    return Reading(trouble_codes=codes)


def told(events: tuple[VehicleEvent, ...]) -> list[tuple[str, object, object]]:
    return [(event.kind.value, event.data.get("code"), event.data.get("status")) for event in events]


def watch() -> VehicleWatch:
    return VehicleWatch(trip_gap_seconds=120)


def restarted(before: VehicleWatch) -> VehicleWatch:
    return VehicleWatch(trip_gap_seconds=120, state=msgspec.json.decode(msgspec.json.encode(before.state())))


def test_a_code_appears_changes_and_is_cleared_once_each() -> None:
    car = watch()
    assert told(car.observe(read(), NOW)) == []
    assert told(car.observe(read(code("P0301", "pending")), NOW)) == [("dtc.appeared", "P0301", "pending")]
    assert told(car.observe(read(code("P0301", "pending")), NOW)) == []
    (changed,) = car.observe(read(code("P0301", lamp=True)), NOW)
    assert changed.kind is EventKind.DTC_CHANGED
    assert changed.data == {"code": "P0301", "ecu": "7E8", "status": "confirmed", "mil": True}
    assert told(car.observe(read(), NOW)) == [("dtc.cleared", "P0301", "confirmed")]
    assert told(car.observe(read(), NOW)) == []


def test_a_freeze_frame_goes_with_the_event_of_its_code_and_makes_none_by_itself() -> None:
    car, frame = watch(), {SPEED: 92.0}
    reading = Reading(trouble_codes=(code("P0301", "pending"), code("P0420")), freeze_frames={("7E8", "P0301"): frame})
    appeared = {event.data["code"]: event.data for event in car.observe(reading, NOW)}
    assert appeared["P0301"]["freeze_frame"] == frame
    assert "freeze_frame" not in appeared["P0420"]
    again = Reading(trouble_codes=reading.trouble_codes, freeze_frames={("7E8", "P0301"): {SPEED: 10.0}})
    assert car.observe(again, after(30)) == ()


def test_another_car_has_not_cleared_the_codes_of_the_former_one() -> None:
    car = watch()
    car.observe(Reading(vin="WVWZZZ1KZAW000001", trouble_codes=(code("P0301"),), values={SPEED: 30}), NOW)
    events = car.observe(Reading(vin="WVWZZZ1KZAW000002", trouble_codes=()), after(1))
    assert [event.kind for event in events] == [EventKind.TRIP_ENDED, EventKind.VEHICLE_IDENTIFIED]
    again = car.observe(Reading(vin="WVWZZZ1KZAW000001", trouble_codes=(code("P0301"),)), after(2))
    assert [event.kind for event in again] == [EventKind.VEHICLE_IDENTIFIED, EventKind.DTC_APPEARED]


def test_a_car_is_told_again_when_more_is_known_of_it() -> None:
    car = watch()
    identified = Identified(profile="kona", certainty=0.9, reasons=("The VIN fits.",))
    (first,) = car.observe(Reading(vin="WVWZZZ1KZAW000001"), NOW)
    assert first.data == {"vin": "WVWZZZ1KZAW000001"}
    (second,) = car.observe(Reading(vin="WVWZZZ1KZAW000001", identified=identified), NOW)
    assert second.data["profile"] == "kona"
    assert car.observe(Reading(vin="WVWZZZ1KZAW000001"), NOW) == ()
    (without,) = watch().observe(Reading(identified=identified), NOW)
    assert without.data == {"profile": "kona", "certainty": 0.9, "reasons": ["The VIN fits."]}


def test_a_failed_read_changes_nothing() -> None:
    car = watch()
    car.observe(read(code("P0301")), NOW)
    assert car.observe(Reading(trouble_codes=None), NOW) == ()
    assert car.observe(read(code("P0301")), NOW) == ()


def test_a_restart_repeats_nothing_and_misses_nothing() -> None:
    car = watch()
    car.observe(read(code("P0301"), code("P0420", "permanent")), NOW)
    assert restarted(car).observe(read(code("P0301"), code("P0420", "permanent")), NOW) == ()
    assert told(restarted(car).observe(read(code("P0301")), NOW)) == [("dtc.cleared", "P0420", "permanent")]


def test_one_code_of_two_ecus_is_two_and_of_three_services_is_one() -> None:
    car = watch()
    events = car.observe(
        read(code("P0301", "permanent"), code("P0301", "pending"), code("P0301"), code("P0301", ecu="7E9")), NOW
    )
    assert [(event.data["ecu"], event.data["status"]) for event in events] == [
        ("7E8", "confirmed"),
        ("7E9", "confirmed"),
    ]


_codes = st.lists(
    st.builds(
        TroubleCode,
        code=st.sampled_from(["P0301", "P0420", "U0100"]),
        ecu=st.sampled_from(["7E8", "7E9"]),
        status=st.sampled_from(["pending", "confirmed", "permanent"]),
        warning_lamp=st.sampled_from([None, True, False]),
    ),
    max_size=6,
)


@given(reads=st.lists(st.none() | _codes, max_size=12), restart=st.booleans())
def test_who_follows_the_events_knows_the_last_read(reads: list[list[TroubleCode] | None], *, restart: bool) -> None:
    car = watch()
    known: dict[tuple[object, object], object] = {}
    last: list[TroubleCode] = []
    for codes in reads:
        if restart:
            car = restarted(car)
        for event in car.observe(Reading(trouble_codes=None if codes is None else tuple(codes)), NOW):
            key = (event.data["ecu"], event.data["code"])
            match event.kind:
                case EventKind.DTC_APPEARED:
                    assert key not in known
                    known[key] = event.data["status"]
                case EventKind.DTC_CHANGED:
                    assert key in known
                    known[key] = event.data["status"]
                case _:
                    del known[key]
        last = last if codes is None else codes
    assert known.keys() == {(each.ecu, each.code) for each in last}


def test_a_trip_starts_with_the_engine_and_ends_at_its_last_sign() -> None:
    car = watch()
    assert told(car.observe(Reading(values={ENGINE_SPEED: 0, SPEED: 0}), NOW)) == []
    assert told(car.observe(Reading(values={ENGINE_SPEED: 800, SPEED: 0}), after(1))) == [("trip.started", None, None)]
    for second in range(60, 601, 60):
        assert car.observe(Reading(values={ENGINE_SPEED: 2000, SPEED: 50}), after(second)) == ()
    assert car.observe(Reading(values={ENGINE_SPEED: 0, SPEED: 0}), after(660)) == ()  # engine off at a light
    (ended,) = car.observe(Reading(values={ENGINE_SPEED: 0, SPEED: 0}), after(721))
    assert (ended.kind, ended.time) == (EventKind.TRIP_ENDED, after(600))
    assert ended.data == {"started": after(1).isoformat(), "duration_s": 599.0}


def test_silence_ends_a_trip_before_the_next_one_starts() -> None:
    car = watch()
    car.observe(Reading(values={SPEED: 50}), NOW)
    events = restarted(car).observe(Reading(values={SPEED: 50}), after(3600))
    assert [(event.kind.value, event.time) for event in events] == [("trip.ended", NOW), ("trip.started", after(3600))]


def test_a_live_trip_expires_without_any_sample() -> None:
    car = watch()
    car.observe(Reading(values={SPEED: 50}), NOW)
    assert car.expire(after(119)) == ()
    assert [event.time for event in car.expire(after(120))] == [NOW]
    assert car.expire(after(121)) == ()


def test_a_trip_is_not_told_twice_over_a_restart() -> None:
    car = watch()
    car.observe(Reading(values={SPEED: 50}), NOW)
    assert restarted(car).observe(Reading(values={SPEED: 50}), after(10)) == ()


def test_a_car_is_identified_once_per_boot_and_when_it_is_another() -> None:
    car = watch()
    assert [event.data for event in car.observe(Reading(vin="WVWZZZ1JZXW000001"), NOW)] == [
        {"vin": "WVWZZZ1JZXW000001"}
    ]
    assert car.observe(Reading(vin="WVWZZZ1JZXW000001"), NOW) == ()
    assert car.observe(Reading(), NOW) == ()
    assert len(car.observe(Reading(vin="WVWZZZ1JZXW000002"), NOW)) == 1
    assert len(restarted(car).observe(Reading(vin="WVWZZZ1JZXW000002"), NOW)) == 1
