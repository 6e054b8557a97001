"""What is taken and what is not, with the reason. The wire's own checks are tested with the wire."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ingest.decoding.decode import (
    REJECT_REASONS,
    TEMPORARY_REASONS,
    Accepted,
    Incoming,
    Rejection,
    decode,
    is_for_the_store,
)
from telemetry.digest import digest
from telemetry.records import (
    BatchKey,
    DeviceStatus,
    Estimate,
    EventKind,
    EventsBatch,
    Quantity,
    ReadingsBatch,
    Sample,
    VehicleEvent,
)
from telemetry.wire import encode_events, encode_readings, encode_status

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = BatchKey(device="d1", boot=UUID(int=7), sequence=3)


def incoming(payload: bytes, channel: str = "readings") -> Incoming:
    return Incoming(topic=f"wearcast/v1/d1/{channel}", payload=payload, received_at=NOW)


def batch(time: datetime) -> ReadingsBatch:
    return ReadingsBatch(key=KEY, samples=(Sample(time=time, monotonic_ms=0, values={"Vehicle.Speed": 12.0}),))


def dtc(kind: EventKind, **data: object) -> Incoming:
    events = EventsBatch(key=KEY, events=(VehicleEvent(time=NOW, kind=kind, data=data),))
    return incoming(encode_events(events), "events")


def refused(message: Incoming) -> Rejection:
    found = decode(message)
    assert isinstance(found, Rejection), found
    assert found.reason in REJECT_REASONS
    return found


@pytest.mark.parametrize("form", ["compact", "json"])
def test_a_good_batch_is_taken(form: str) -> None:
    found = decode(incoming(encode_readings(batch(NOW), form)))  # type: ignore[arg-type]  # one of the two forms
    assert isinstance(found, Accepted)
    assert found.record == batch(NOW)


def test_clocks_may_be_a_little_ahead_and_no_more() -> None:
    assert isinstance(decode(incoming(encode_readings(batch(NOW + timedelta(minutes=10))))), Accepted)
    found = refused(incoming(encode_readings(batch(NOW + timedelta(minutes=10, seconds=1)))))
    assert (found.reason, found.key) == ("far-future", KEY)


def test_a_clock_that_was_never_set_is_told() -> None:
    found = refused(incoming(encode_readings(batch(datetime(1970, 1, 1, 0, 1, tzinfo=UTC)))))
    assert (found.reason, found.key) == ("too-old", KEY)


def test_estimates_events_and_statuses_are_checked_for_their_time_too() -> None:
    far = NOW + timedelta(days=1)
    estimate = Estimate(
        time=far, quantity=Quantity.OIL_LIFE, value=50, low=40, high=60, source="estimated", method="test/1"
    )
    with_estimate = ReadingsBatch(key=KEY, samples=batch(NOW).samples, estimates=(estimate,))
    trip = EventsBatch(key=KEY, events=(VehicleEvent(time=far, kind=EventKind.TRIP_STARTED),))
    status = DeviceStatus(device="d1", boot=KEY.boot, state="online", time=far, version="1")
    assert refused(incoming(encode_readings(with_estimate))).reason == "far-future"
    assert refused(incoming(encode_events(trip), "events")).reason == "far-future"
    found = refused(incoming(encode_status(status), "status"))
    assert (found.reason, found.key) == ("far-future", None)


@pytest.mark.parametrize("kind", [EventKind.DTC_APPEARED, EventKind.DTC_CHANGED, EventKind.DTC_CLEARED])
def test_a_trouble_code_without_a_code_is_not_taken(kind: EventKind) -> None:
    assert refused(dtc(kind, status="confirmed", mil=True)).reason == "malformed"
    assert refused(dtc(kind, code="P03", status="confirmed")).reason == "malformed"
    assert refused(dtc(kind, code="P0301", ecu=7, status="confirmed")).reason == "malformed"
    assert isinstance(decode(dtc(kind, code="P0301", ecu="7E8", status="confirmed", mil=True)), Accepted)
    assert isinstance(decode(dtc(kind, code="U0100-87", status="pending")), Accepted)
    assert isinstance(decode(dtc(kind, code="SPN 110 FMI 0", ecu="18FECA00", status="confirmed")), Accepted)
    assert refused(dtc(kind, code="SPN 110", status="confirmed")).reason == "malformed"


def test_a_code_that_appears_has_a_status() -> None:
    assert refused(dtc(EventKind.DTC_APPEARED, code="P0301", status="maybe")).reason == "malformed"
    assert refused(dtc(EventKind.DTC_CHANGED, code="P0301")).reason == "malformed"
    assert isinstance(decode(dtc(EventKind.DTC_CLEARED, code="P0301")), Accepted)


def test_wire_errors_keep_their_reason_and_their_key() -> None:
    plain = json.loads(encode_readings(batch(NOW), "json"))
    plain["samples"][0]["values"] = {"Vehicle.Speed": 1e6}
    found = refused(incoming(json.dumps(plain).encode()))
    assert (found.reason, found.key) == ("out-of-range", KEY)
    assert refused(Incoming(topic="wearcast/v1/d1/gossip", payload=b"", received_at=NOW)).reason == "foreign-topic"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("wearcast/v1/d1/readings", True),
        ("wearcast/v1/d1/gossip", True),
        ("wearcast/v2/d1/acks", True),
        ("wearcast/v1/d1/acks/more", True),
        ("wearcast/v1/d1/acks", False),
        ("wearcast/v1/d1/commands/reboot", False),
        ("wearcast/v1/d1/results/reboot", False),
    ],
)
def test_the_backends_own_talk_is_left_alone(topic: str, expected: bool) -> None:
    assert is_for_the_store(topic) is expected


def test_digests_tell_parts_apart() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    assert digest(b"abc") == digest(b"abc")
    assert len(digest(b"")) == 16


def test_a_naive_time_of_arrival_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Incoming(topic="t", payload=b"", received_at=datetime(2026, 3, 1))  # noqa: DTZ001 - that is the point


def test_temporary_reasons_are_reasons() -> None:
    assert set(REJECT_REASONS) > TEMPORARY_REASONS


@pytest.mark.parametrize("status", [[], {}, ["confirmed"], 1, None])
def test_a_status_of_another_type_is_malformed_and_no_error(status: object) -> None:
    assert refused(dtc(EventKind.DTC_APPEARED, code="P0301", ecu="7E8", status=status)).reason == "malformed"
