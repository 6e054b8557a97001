"""The agent over its twins: a scripted source, counting estimators, an in-memory backend."""

import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.agent import Agent
from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.errors import OutboxError, SourceError
from edge_agent.notify import Notifier
from edge_agent.outbox import Outbox
from edge_agent.power.port import AlwaysOn
from edge_agent.sources.base import ReadFault, Reading, Source, TroubleCode
from edge_agent.sources.replay_csv import ReplayCsvConfig, ReplayCsvSource
from edge_agent.testing import START, FakeClock, LoopbackUplink, ScriptedSource
from telemetry.records import (
    Acknowledgement,
    BatchKey,
    Estimate,
    EventKind,
    EventsBatch,
    ReadingsBatch,
    RejectedBatch,
    Sample,
    VehicleEvent,
)
from telemetry.topics import Channel, DeviceTopic
from telemetry.wire import decode_message
from tests.unit.edge_agent.service_support import Counting

SPEED = "Vehicle.Speed"
DEVICE = "car-1"


class Backend:
    """Commits each batch once, by its key, and acknowledges it each time, as long as it is up."""

    def __init__(self) -> None:
        self.readings: dict[BatchKey, ReadingsBatch] = {}
        self.events: dict[BatchKey, EventsBatch] = {}
        self.up = True

    def __call__(self, key: BatchKey, channel: Channel, payload: bytes) -> Acknowledgement | None:
        if not self.up:
            return None
        message = decode_message(DeviceTopic(device=key.device, channel=channel), payload)
        if isinstance(message, ReadingsBatch):
            assert message.key == key
            assert self.readings.setdefault(key, message) == message
        else:
            assert isinstance(message, EventsBatch)
            assert self.events.setdefault(key, message) == message
        return Acknowledgement(device=key.device, boot=key.boot, committed=((key.sequence, key.sequence),))

    @property
    def samples(self) -> list[Sample]:
        return [sample for batch in self.readings.values() for sample in batch.samples]

    @property
    def estimates(self) -> list[Estimate]:
        return [estimate for batch in self.readings.values() for estimate in batch.estimates]

    def told(self, kind: EventKind) -> list[VehicleEvent]:
        return [event for batch in self.events.values() for event in batch.events if event.kind is kind]


class Bench:
    """What outlives an agent: its outbox, its backend, and the passing of time."""

    def __init__(self, *, kind: str = "obd_can", **changes: object) -> None:
        self.config = AgentConfig(
            device=DEVICE,
            source=SourceConfig(kind=kind),  # type: ignore[arg-type]  # one of the kinds, from the test
            outbox_path=Path("unused"),
            **changes,  # type: ignore[arg-type]  # fields of the configuration
        )
        self.outbox = Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000)
        self.backend = Backend()
        self.moment, self.milliseconds = START, 1_000
        self.clock = FakeClock()
        self.estimator = Counting()
        self.stop = threading.Event()
        self.environment: dict[str, str] = {}

    def agent(self, source: Source) -> Agent:
        self.clock = FakeClock(self.clock.moment, self.clock.milliseconds)
        self.estimator = Counting()
        uplink = LoopbackUplink(device=DEVICE, outbox=self.outbox, backend=self.backend)
        return Agent(
            config=self.config,
            source=source,
            estimators=[self.estimator],
            outbox=self.outbox,
            uplink=uplink,
            clock=self.clock,
            notifier=Notifier(self.environment),
            jitter=lambda: -0.5,  # no pause at all
        )

    def run(self, *script: Reading | BaseException | Callable[[], None]) -> ScriptedSource:
        source = ScriptedSource(script)
        self.agent(source).run(self.stop)
        return source

    def tick(self, seconds: float = 1.0) -> Callable[[], None]:
        return lambda: self.clock.advance(seconds)


def speeds(*values: float) -> list[Reading]:
    return [Reading(values={SPEED: value}) for value in values]


def test_every_reading_arrives_once_and_the_outbox_is_empty() -> None:
    bench = Bench()
    script: list[Reading | Callable[[], None]] = []
    for value in range(150):
        script += [Reading(values={SPEED: value}), bench.tick()]
    bench.run(*script)
    assert [sample.values[SPEED] for sample in bench.backend.samples] == list(range(150))
    assert [sample.time for sample in bench.backend.samples] == [START + timedelta(seconds=n) for n in range(150)]
    assert bench.outbox.pending_batches() == 0
    assert bench.outbox.pending_samples() == ()


def test_batches_close_by_time_and_by_number() -> None:
    bench = Bench(batch_seconds=10.0)
    bench.run(*speeds(*range(61)), bench.tick(11), *speeds(1), bench.tick(11), *speeds(2))
    assert [len(batch.samples) for batch in bench.backend.readings.values()] == [60, 2, 1]


def test_estimates_come_once_per_period_and_at_the_end() -> None:
    bench = Bench(estimate_seconds=60.0, batch_seconds=10.0)
    script: list[Reading | Callable[[], None]] = []
    for value in range(150):
        script += [Reading(values={SPEED: value}), bench.tick()]
    bench.run(*script)
    # at the first batch that is due, which waits less than those after it
    assert [estimate.value for estimate in bench.backend.estimates] == [2, 68, 134, 150]


def test_nothing_is_estimated_from_nothing() -> None:
    bench = Bench()
    bench.run(Reading(faults=(ReadFault(request="service 01 PID 0D", reason="no answer in 200 ms"),)))
    assert bench.backend.readings == {}
    assert [event.data["boot"] for event in bench.backend.told(EventKind.DEVICE_STARTED)] == [str(bench.clock.boot)]


def test_a_value_that_cannot_be_true_is_a_fault() -> None:
    bench = Bench()
    bench.run(Reading(values={SPEED: 655.35, "Vehicle.OBD.MAP": 101.0}), Reading(values={SPEED: float("nan")}))
    assert [sample.values for sample in bench.backend.samples] == [{"Vehicle.OBD.MAP": 101.0}]


def test_a_source_that_is_gone_is_opened_again_and_a_bug_is_not_swallowed() -> None:
    bench = Bench()
    source = bench.run(*speeds(1), SourceError("bus down"), SourceError("still down"), *speeds(2))
    assert (source.opened, source.is_open) == (3, False)
    assert [sample.values[SPEED] for sample in bench.backend.samples] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        bench.run(*speeds(3), ZeroDivisionError())
    bench.run()
    assert [sample.values[SPEED] for sample in bench.backend.samples] == [1, 2, 3]


def test_what_a_batch_could_not_be_made_of_is_kept_if_the_disk_takes_that(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(batch_samples=3)

    def refuse() -> None:
        raise OutboxError("the disk is full")

    monkeypatch.setattr(bench.outbox, "clear_pending", refuse)
    with pytest.raises(OutboxError):
        bench.run(*speeds(1, 2, 3))
    monkeypatch.undo()
    bench.run()
    assert [sample.values[SPEED] for sample in bench.backend.samples] == [1, 2, 3]


class NoLedger(AlwaysOn):
    """Power whose ledger the disk does not take."""

    def close(self) -> None:
        raise OutboxError("the disk is full")


def test_the_broker_is_told_of_the_end_even_if_the_ledger_cannot_be_kept() -> None:
    bench = Bench()
    uplink = LoopbackUplink(device=DEVICE, outbox=bench.outbox, backend=bench.backend)
    agent = Agent(
        config=bench.config,
        source=ScriptedSource(speeds(1)),
        estimators=[],
        outbox=bench.outbox,
        uplink=uplink,
        clock=bench.clock,
        notifier=Notifier({}),
        power=NoLedger(),
    )
    with pytest.raises(OutboxError):
        agent.run(bench.stop)
    assert not uplink.connected


def test_told_to_stop_it_seals_what_it_has() -> None:
    bench = Bench()
    bench.run(*speeds(1, 2), bench.stop.set, *speeds(3), *speeds(4))
    assert [sample.values[SPEED] for sample in bench.backend.samples] == [1, 2, 3]
    assert bench.backend.estimates[-1].value == 3


def test_a_backend_away_keeps_everything_in_the_outbox_in_order() -> None:
    bench = Bench(drain_seconds=0.0)
    bench.backend.up = False
    for value in range(4):  # km/h: no trip
        bench.run(*speeds(value))
    assert bench.outbox.pending_batches() == 8  # a start and a batch each
    bench.backend.up = True
    bench.run()
    assert [sample.values[SPEED] for sample in bench.backend.samples] == list(range(4))
    assert bench.outbox.pending_batches() == 0


def test_a_rejected_batch_does_not_hold_up_the_others() -> None:
    bench = Bench()
    commit = bench.backend

    def backend(key: BatchKey, channel: Channel, payload: bytes) -> Acknowledgement | None:
        if channel == "readings" and not bench.outbox.rejected():
            rejected = (RejectedBatch(sequence=key.sequence, reason="out-of-range"),)
            return Acknowledgement(device=DEVICE, boot=key.boot, rejected=rejected)
        return commit(key, channel, payload)

    source = ScriptedSource([*speeds(1), bench.tick(30), *speeds(2), bench.tick(30), *speeds(3)])
    agent = bench.agent(source)
    agent._uplink = LoopbackUplink(device=DEVICE, outbox=bench.outbox, backend=backend)
    agent.run(bench.stop)
    assert [sample.values[SPEED] for sample in commit.samples] == [3]
    assert [entry.reason for entry in bench.outbox.rejected()] == ["out-of-range"]


def test_trouble_codes_are_told_by_difference_over_restarts() -> None:
    bench = Bench()
    misfire = TroubleCode(code="P0301", ecu="7E8", status="confirmed")
    bench.run(Reading(trouble_codes=()), Reading(trouble_codes=(misfire,)), Reading(trouble_codes=None))
    bench.run(Reading(trouble_codes=(misfire,)), Reading(trouble_codes=()))
    assert [event.data["code"] for event in bench.backend.told(EventKind.DTC_APPEARED)] == ["P0301"]
    assert [event.data["code"] for event in bench.backend.told(EventKind.DTC_CLEARED)] == ["P0301"]


def test_a_recording_keeps_its_time_and_its_distances() -> None:
    bench = Bench(kind="replay_csv")
    past = datetime(2025, 6, 1, tzinfo=UTC)
    bench.run(*(Reading(values={SPEED: 50}, time=past + timedelta(hours=n)) for n in range(3)))
    assert [sample.time for sample in bench.backend.samples] == [past + timedelta(hours=n) for n in range(3)]
    first, *others = [sample.monotonic_ms for sample in bench.backend.samples]
    assert [other - first for other in others] == [3_600_000, 7_200_000]
    assert [event.time for event in bench.backend.told(EventKind.TRIP_ENDED)] == [
        past + timedelta(hours=n) for n in range(3)
    ]


def test_systemd_hears_that_it_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    bench = Bench()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        bench.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
        bench.run(*speeds(1, 2, 3))
        heard = [systemd.recv(1000).decode() for _ in range(3)]
    assert heard == ["WATCHDOG=1", "READY=1\nSTATUS=connected to the broker", "STOPPING=1"]


class PowerCut(BaseException):
    """Ends an agent without any of its code running afterwards."""


def test_cut_off_at_any_moment_nothing_is_lost_or_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    bench = Bench(batch_samples=5, drain_seconds=0.0, flush_seconds=0.0)  # each sample is on the disk at once
    todo = list(range(400))
    steps = ("add_samples", "add_readings", "add_events", "clear_pending", "put_state", "acknowledge", "publish")
    cuts = 0
    while todo:
        with monkeypatch.context() as patch:
            countdown = rng.randint(1, 120)
            for step in steps:
                original = getattr(bench.outbox, step)

                def cut(*args: object, _original: Callable[..., object] = original, **options: object) -> object:
                    nonlocal countdown
                    countdown -= 1
                    if countdown == 0:
                        raise PowerCut
                    return _original(*args, **options)

                patch.setattr(bench.outbox, step, cut)

            def accepted() -> None:
                todo.pop(0)

            script: list[Reading | Callable[[], None]] = []
            for value in todo:
                script += [Reading(values={SPEED: value % 200, "Vehicle.OBD.RunTime": value}), bench.tick(), accepted]
            try:
                bench.run(*script)
            except PowerCut:
                cuts += 1
                # What the cut-off poll had accepted is known from the outbox or the backend alone.
                known = {entry.sample.values["Vehicle.OBD.RunTime"] for entry in bench.outbox.pending_samples()}
                while todo and (todo[0] in known or todo[0] in _stored(bench)):
                    todo.pop(0)
    bench.run()
    bench.backend.up = True
    assert cuts > 20
    numbers = Counter(sample.values["Vehicle.OBD.RunTime"] for sample in bench.backend.samples)
    assert numbers == Counter(range(400))
    assert bench.estimator.count == 400


def test_a_recording_cut_off_at_any_moment_is_replayed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rng = random.Random(11)
    bench = Bench(kind="replay_csv", batch_samples=7, flush_seconds=0.0)
    path = tmp_path / "trip.csv"
    path.write_text("ENGINE_RUN_TINE ()\n" + "".join(f"{n},\n" for n in range(300)), encoding="ascii")
    cuts, ended = 0, False
    while not ended:
        with monkeypatch.context() as patch:
            countdown = rng.randint(1, 200)
            for step in ("add_samples", "add_readings", "add_events", "clear_pending", "put_state", "acknowledge"):
                original = getattr(bench.outbox, step)

                def cut(*args: object, _original: Callable[..., object] = original, **options: object) -> object:
                    nonlocal countdown
                    countdown -= 1
                    if countdown == 0:
                        raise PowerCut
                    return _original(*args, **options)

                patch.setattr(bench.outbox, step, cut)
            try:
                source = ReplayCsvSource(ReplayCsvConfig(path=path, start=START))
                bench.agent(source).run(bench.stop)
                ended = True
            except PowerCut:
                cuts += 1
    assert cuts > 3
    assert [sample.values["Vehicle.OBD.RunTime"] for sample in bench.backend.samples] == list(range(300))
    assert bench.estimator.count == 300


def _stored(bench: Bench) -> set[float]:
    stored = {sample.values["Vehicle.OBD.RunTime"] for sample in bench.backend.samples}
    for (payload,) in bench.outbox._db.execute("SELECT payload FROM batch WHERE channel = 'readings'").fetchall():
        message = decode_message(DeviceTopic(device=DEVICE, channel="readings"), payload)
        assert isinstance(message, ReadingsBatch)
        stored |= {sample.values["Vehicle.OBD.RunTime"] for sample in message.samples}
    return stored
