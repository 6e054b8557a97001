"""Bucket and limits: what is never exceeded, whom they never hit, and what they forget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.warden.bucket import Allowance, Bucket
from ingest.warden.limits import Limits, limits_of
from ingest.warden.meter import Meter
from telemetry.wire import MAX_PAYLOAD_BYTES

ALLOWANCE = Allowance(per_second=2.0, burst=10.0)
LIMITS = Limits(
    messages=Allowance(per_second=10, burst=20),
    bytes=Allowance(per_second=1000, burst=2000),
    over=Allowance(per_second=5, burst=30),
    malformed=Allowance(per_second=0.1, burst=5),
)
pauses = st.lists(st.floats(-5, 60, allow_nan=False), max_size=200)


@given(pauses, st.floats(0.1, 12))
def test_no_more_is_taken_than_burst_and_rate_allow(steps: list[float], amount: float) -> None:
    now = begun = 1000.0
    latest = begun
    bucket = Bucket.full(ALLOWANCE, now)
    taken = 0.0
    for step in steps:
        now += step
        latest = max(latest, now)
        taken += amount * bucket.take(amount, ALLOWANCE, now)
        assert taken <= ALLOWANCE.burst + ALLOWANCE.per_second * (latest - begun) + 1e-6


@given(st.lists(st.floats(0.5, 60), max_size=100))
def test_who_keeps_to_the_rate_is_never_refused(steps: list[float]) -> None:
    now = 0.0
    bucket = Bucket.full(ALLOWANCE, now)
    for step in steps:
        now += step
        assert bucket.take(1.0, ALLOWANCE, now)


def test_an_allowance_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Allowance(per_second=0, burst=1)


def test_a_device_is_limited_by_messages_and_by_bytes_and_another_is_not() -> None:
    meter = Meter(limits=LIMITS)
    assert sum(meter.admit("many", 1, 0.0) for _ in range(100)) == 20
    assert sum(meter.admit("large", 500, 0.0) for _ in range(100)) == 4
    assert meter.admit("other", 500, 0.0)
    assert sum(meter.admit("many", 1, 1.0) for _ in range(100)) == 10


def test_a_message_too_large_takes_nothing_from_those_that_follow() -> None:
    meter = Meter(limits=LIMITS)
    assert not any(meter.admit("device", 3000, 0.0) for _ in range(25))
    assert sum(meter.admit("device", 1, 0.0) for _ in range(25)) == 20


def test_who_waits_for_acknowledgements_is_never_an_offender() -> None:
    """A window of 20 batches, sent again every ten seconds, by a device far over its limit."""
    limits = Limits(messages=Allowance(per_second=0.1, burst=1), bytes=LIMITS.bytes, over=LIMITS.over)
    meter = Meter(limits=limits)
    for second in range(0, 36_000, 10):
        for _ in range(20):
            meter.admit("honest", 10, float(second))
    assert meter.collect() == {}


def test_who_does_not_stop_is_an_offender_once() -> None:
    meter = Meter(limits=LIMITS)
    for _ in range(20 + 30):
        meter.admit("flooder", 1, 0.0)
    assert meter.collect() == {}
    meter.admit("flooder", 1, 0.0)
    assert meter.collect() == {"flooder": "flood"}
    assert meter.collect() == {}


def test_who_offended_is_limited_all_the_same() -> None:
    """Not everybody can be blocked: an erased owner's dongle is in no registry, and let in to say that it is empty."""
    meter = Meter(limits=LIMITS)
    admitted = 0
    for _ in range(1000):
        admitted += meter.admit("flooder", 1, 0.0)
        meter.collect()
    assert admitted == 20


def test_rubbish_is_an_offence_of_its_own() -> None:
    meter = Meter(limits=LIMITS)
    meter.malformed(["device"] * 5, 0.0)
    assert meter.collect() == {}
    meter.malformed(["device"], 0.0)
    assert meter.collect() == {"device": "malformed"}


def test_the_number_of_devices_remembered_is_bounded_and_the_busy_are_kept() -> None:
    meter = Meter(limits=LIMITS, most_devices=100)
    for number in range(99):
        meter.admit(f"idle-{number}", 1, 0.0)
    while meter.admit("busy", 1, 1000.0):
        pass
    for number in range(80):
        meter.admit(f"new-{number}", 1, 1000.0)
        assert len(meter) <= 100
    assert not meter.admit("busy", 1, 1000.0)
    for number in range(1000):
        meter.admit(f"many-{number}", 1, 1000.0)
        assert len(meter) <= 100


def test_limits_follow_from_the_rates_and_may_be_none() -> None:
    limits = limits_of(50, 1000)
    assert limits is not None
    assert limits.messages == Allowance(per_second=50, burst=10_000)
    assert limits_of(0, 1000) is None


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e7))
def test_no_rate_is_so_low_that_a_largest_message_is_never_taken(messages: float, size: float) -> None:
    limits = limits_of(messages, size)
    assert limits is not None
    assert Meter(limits=limits).admit("device", MAX_PAYLOAD_BYTES, 0.0)
