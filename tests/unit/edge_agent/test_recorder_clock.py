"""A clock that was wrong: samples, batches, events, the trip and the estimators are put right when it is known."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import Outbox, Publication
from edge_agent.outbox_content import unpack
from edge_agent.recorder import Recorder
from edge_agent.sources.base import Reading
from edge_agent.testing import START, FakeClock
from health.registry import Kind, build_estimators
from telemetry.records import (
    Acknowledgement,
    EventKind,
    EventsBatch,
    ReadingsBatch,
    RejectedBatch,
    Sample,
    VehicleEvent,
)
from tests.unit.edge_agent.outbox_support import DEVICE, publish_all

WRONG = datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)  # a machine without a clock, half a minute after its start
SPEED = "Vehicle.Speed"
OTHERS = {  # so that every estimator has something to remember
    "Vehicle.Powertrain.CombustionEngine.Speed": 2000.0,
    "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature": 90.0,
    "Vehicle.LowVoltageBattery.CurrentVoltage": 14.1,
    "Vehicle.TraveledDistance": 50_000_000.0,
    **{
        f"Vehicle.Chassis.Axle.Row{row}.Wheel.{side}.Tire.Pressure": 230.0
        for row in (1, 2)
        for side in ("Left", "Right")
    },
}


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as opened:
        yield opened


CONFIG = AgentConfig(device=DEVICE, source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"), batch_seconds=5.0)


def recorder(outbox: Outbox, clock: FakeClock, kind: Kind = "generic", config: AgentConfig = CONFIG) -> Recorder:
    return Recorder(config=config, estimators=build_estimators(kind), outbox=outbox, clock=clock)


def drive(recorder: Recorder, clock: FakeClock, seconds: int, speed: float = 50.0) -> None:
    for _ in range(seconds):
        recorder.accept(Reading(values={**OTHERS, SPEED: speed}))
        recorder.tick()
        clock.advance(1)


def arrived(outbox: Outbox) -> tuple[list[Sample], list[VehicleEvent]]:
    samples: list[Sample] = []
    events: list[VehicleEvent] = []
    for entry in publish_all(outbox):
        batch = unpack(DEVICE, entry.channel, entry.payload)
        if isinstance(batch, ReadingsBatch):
            samples += batch.samples
        else:
            assert isinstance(batch, EventsBatch)
            events += batch.events
    return samples, events


def test_all_that_was_not_published_is_put_right_sealed_or_not(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 23)  # four batches, and some samples besides
    clock.set(START + timedelta(seconds=23))
    drive(running, clock, 7)
    running.finish(ended=False)
    samples, events = arrived(outbox)
    assert [sample.time for sample in samples] == [START + timedelta(seconds=n) for n in range(30)]
    assert {event.kind: event.time for event in events} == {
        EventKind.DEVICE_STARTED: START,
        EventKind.TRIP_STARTED: START,
    }


def test_the_trip_that_runs_is_not_torn_by_the_clock(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 10)
    clock.set(START)
    drive(running, clock, 10)
    clock.advance(200)
    running.tick()
    _, events = arrived(outbox)
    ended = [event for event in events if event.kind is EventKind.TRIP_ENDED]
    assert [event.data["duration_s"] for event in ended] == [19.0]
    assert [event.time for event in ended] == [START + timedelta(seconds=9)]
    assert len([event for event in events if event.kind is EventKind.TRIP_STARTED]) == 1


def test_what_was_published_is_told_with_its_numbers_and_the_shift(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 11)
    published = publish_all(outbox)
    assert len(published) == 4  # the start, the trip's start, two batches
    clock.set(START)
    drive(running, clock, 6)
    again = publish_all(outbox)
    assert {entry.key: entry.payload for entry in again}.items() >= {
        entry.key: entry.payload for entry in published
    }.items()
    _, events = arrived(outbox)
    (told,) = [event for event in events if event.kind is EventKind.CLOCK_CORRECTED]
    assert told.data == {
        "boot": str(clock.boot),
        "first_sequence": 1,
        "last_sequence": 4,
        "shift_s": (START - WRONG).total_seconds() - 11,
    }


def test_a_backlog_of_another_start_of_the_machine_is_not_taken_for_wrongly_dated(outbox: Outbox) -> None:
    before = FakeClock(START - timedelta(days=3), 30_000, kernel_boot="kernel-0")
    drive(recorder(outbox, before), before, 11)
    clock = FakeClock(START - timedelta(hours=1), 30_000)
    running = recorder(outbox, clock)
    backlog = outbox.waiting("readings", 1)
    outbox.publish(backlog)
    publish_all(outbox)
    clock.set(START)
    running.tick()
    samples, events = arrived(outbox)
    assert [sample.time for sample in samples] == [START - timedelta(days=3) + timedelta(seconds=n) for n in range(10)]
    (told,) = [event.data for event in events if event.kind is EventKind.CLOCK_CORRECTED]
    assert (told["shift_s"], told["first_sequence"]) == (3600, told["last_sequence"])


def test_a_former_run_of_the_same_start_of_the_machine_is_put_right_too(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    drive(recorder(outbox, clock), clock, 8)  # killed: a batch and some samples are left
    again = FakeClock(START + timedelta(seconds=8), clock.milliseconds)
    recorder(outbox, again)
    samples, events = arrived(outbox)
    assert [sample.time for sample in samples] == [START + timedelta(seconds=n) for n in range(8)]
    assert [event.time for event in events if event.kind is EventKind.TRIP_STARTED] == [START]


def test_of_another_start_of_the_machine_nothing_is_guessed(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000, kernel_boot="kernel-1")
    drive(recorder(outbox, clock), clock, 8)
    again = FakeClock(START, 10_000, kernel_boot="kernel-2")
    recorder(outbox, again)
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples] == [WRONG + timedelta(seconds=n) for n in range(8)]


def test_what_a_power_cut_left_unsealed_is_not_moved_by_the_next_start_s_clock(outbox: Outbox) -> None:
    before = FakeClock(START, 30_000, kernel_boot="kernel-1")
    drive(recorder(outbox, before), before, 11)  # two of them wait for their batch, and one for the disk
    clock = FakeClock(START - timedelta(minutes=15), 10_000, kernel_boot="kernel-2")  # as it was last written down
    running = recorder(outbox, clock)
    clock.advance(60)
    clock.set(START + timedelta(hours=9))
    running.tick()
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples] == [START + timedelta(seconds=n) for n in range(10)]


def test_a_recording_keeps_its_time(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    past = datetime(2025, 6, 1, tzinfo=UTC)
    config = replace(CONFIG, source=SourceConfig(kind="replay_csv"))
    running = recorder(outbox, clock, config=config)
    for number in range(12):
        running.accept(Reading(values={SPEED: 1.0}, time=past + timedelta(seconds=number)), position=number + 1)
        running.tick()
        clock.advance(1)
    clock.set(START)
    running.tick()
    running.finish(ended=True)
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples] == [past + timedelta(seconds=n) for n in range(12)]


def test_a_batch_refused_for_its_time_comes_again_put_right_under_its_key(outbox: Outbox) -> None:
    clock = FakeClock(START.replace(year=2090), 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 6)
    published = publish_all(outbox)
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason="far-future") for entry in published)
    gone = outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused))
    assert len(gone) == len(published)
    assert outbox.rejected() == ()
    assert outbox.sendable_batches() == 0
    assert outbox.pending_batches() == len(published)
    clock.set(START + timedelta(seconds=6))
    running.tick()
    again = publish_all(outbox)
    assert {entry.key for entry in published} <= {entry.key for entry in again}
    samples, events = arrived(outbox)
    assert [sample.time for sample in samples][:5] == [START + timedelta(seconds=n) for n in range(5)]
    (told,) = [event for event in events if event.kind is EventKind.CLOCK_CORRECTED]
    assert told.data["resent"] == [entry.key.sequence for entry in published]


def test_a_batch_that_is_refused_after_the_clock_was_put_right_comes_again_too(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 6)
    published = publish_all(outbox)  # under way, twice, when the clock is put right
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason="too-old") for entry in published)
    clock.set(START + timedelta(seconds=6))
    running.tick()
    told_first = len(arrived(outbox)[1])
    assert outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused))
    running.tick()
    assert outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused)) == ()
    running.tick()
    samples, events = arrived(outbox)
    assert [sample.time for sample in samples][:5] == [START + timedelta(seconds=n) for n in range(5)]
    late = [event.data for event in events[told_first:] if event.kind is EventKind.CLOCK_CORRECTED]
    assert [data["resent"] for data in late] == [[entry.key.sequence] for entry in published]
    assert outbox.rejected() == ()


def test_a_refusal_that_only_a_former_run_heard_of_is_put_right_by_the_next(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 6)
    published = publish_all(outbox)
    clock.set(START + timedelta(seconds=6))
    running.tick()
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason="too-old") for entry in published)
    outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused))  # and killed
    again = FakeClock(clock.moment, clock.milliseconds)
    recorder(outbox, again).tick()
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples][:5] == [START + timedelta(seconds=n) for n in range(5)]


def test_what_was_published_with_a_wrong_time_is_told_even_if_the_agent_dies_while_it_puts_right(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 6)
    publish_all(outbox)
    clock.set(START + timedelta(seconds=6))

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_seal_events", dies)
    monkeypatch.setattr(running, "_seal", dies)
    with pytest.raises(KeyboardInterrupt):
        running.tick()
    recorder(outbox, FakeClock(clock.moment, clock.milliseconds))
    _, events = arrived(outbox)
    assert [event.data["last_sequence"] for event in events if event.kind is EventKind.CLOCK_CORRECTED] == [3]


def test_what_is_published_while_a_long_backlog_is_put_right_has_the_right_time_and_keeps_its_bytes() -> None:
    published: list[Publication] = []

    def meanwhile() -> None:  # the network thread, between two transactions
        published.extend(publish_all(long))

    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000, working=meanwhile) as long:
        long.begin_boot(uuid4(), "kernel-1")
        for number in range(300):
            sample = Sample(time=WRONG + timedelta(seconds=number), monotonic_ms=1000 * number, values={SPEED: 1.0})
            long.add_readings([sample], [], created_ms=1000 * number, clock_ms=0)
        assert long.put_right(10**12, 300_000) == 300
        assert {entry.key: entry.payload for entry in published} == {
            entry.key: entry.payload for entry in publish_all(long)
        }
        samples, _ = arrived(long)
    shift = timedelta(milliseconds=10**12)
    assert [sample.time for sample in samples] == [WRONG + shift + timedelta(seconds=n) for n in range(300)]


def test_a_batch_whose_clock_was_never_put_right_is_put_aside_by_the_next_start(outbox: Outbox) -> None:
    outbox.begin_boot(boot := uuid4(), "kernel-1")
    sample = Sample(time=WRONG, monotonic_ms=1, values={SPEED: 1.0})
    outbox.add_readings([sample], [], created_ms=0, clock_ms=0)
    (published,) = publish_all(outbox)
    refused = (RejectedBatch(sequence=published.key.sequence, reason="too-old"),)
    outbox.acknowledge(Acknowledgement(device=DEVICE, boot=boot, rejected=refused))
    outbox.begin_boot(uuid4(), "kernel-1")
    assert outbox.rejected() == ()
    outbox.begin_boot(uuid4(), "kernel-2")
    assert [entry.reason for entry in outbox.rejected()] == ["its clock was never put right"]
    assert outbox.pending_batches() == 0


def test_a_clock_that_drifted_for_a_week_is_no_step(outbox: Outbox) -> None:
    outbox.begin_boot(uuid4(), "kernel-1")
    week_ms = 7 * 86_400_000
    outbox.add_readings([Sample(time=START, monotonic_ms=0, values={SPEED: 1.0})], [], created_ms=0, clock_ms=0)
    assert outbox.put_right(30_000, week_ms) == 0  # 50 ppm, as crystals do
    assert outbox.put_right(300_000, week_ms) == 1


@pytest.mark.parametrize("kind", ["generic", "petrol", "electric"])
def test_estimators_do_not_stick_in_a_future_that_was_none(outbox: Outbox, kind: Kind) -> None:
    """Each takes samples again, and none counts the years between as wear."""

    def states(clock: FakeClock, years: int) -> list[dict[str, object]]:
        with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as own:
            estimators = build_estimators(kind)
            running = Recorder(config=CONFIG, estimators=estimators, outbox=own, clock=clock)
            drive(running, clock, 20)
            if years:
                clock.set(clock.now().replace(year=clock.now().year - years))
            drive(running, clock, 20)
            return [dict(estimator.state()) for estimator in estimators]

    right = states(FakeClock(), 0)
    wrong = states(FakeClock(START.replace(year=START.year + 40)), 40)
    assert wrong == right


def test_a_first_start_without_a_clock_does_not_age_the_oil_by_decades(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 20)
    clock.set(START)
    drive(running, clock, 20)
    running.finish(ended=False)
    values = [
        estimate.value
        for entry in publish_all(outbox)
        if isinstance(batch := unpack(DEVICE, entry.channel, entry.payload), ReadingsBatch)
        for estimate in batch.estimates
        if estimate.quantity == "oil_life"
    ]
    assert values
    assert min(values) > 99


def test_the_clock_starts_from_what_the_outbox_knows(outbox: Outbox) -> None:
    clock = FakeClock(START, 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 20)
    again = FakeClock(START - timedelta(days=3), 5_000, kernel_boot="kernel-2")
    recorder(outbox, again)
    assert START <= again.now() <= START + timedelta(seconds=20)


def test_samples_of_one_millisecond_stay_apart_when_the_clock_is_put_right(outbox: Outbox) -> None:
    clock = FakeClock(WRONG, 30_000)
    running = recorder(outbox, clock, config=replace(CONFIG, flush_seconds=0.0))
    for speed in range(3):
        running.accept(Reading(values={SPEED: float(speed)}))
    clock.set(START)
    running.finish(ended=False)
    again = FakeClock(START, 30_000)
    recorder(outbox, again)
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples] == [START + timedelta(milliseconds=n) for n in range(3)]


def test_two_samples_of_one_millisecond_are_two_rows(outbox: Outbox) -> None:
    clock = FakeClock()
    running = recorder(outbox, clock)
    for speed in range(3):
        running.accept(Reading(values={SPEED: float(speed)}))
    running.finish(ended=False)
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples] == [START + timedelta(milliseconds=n) for n in range(3)]
