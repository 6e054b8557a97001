"""Services and findings in the recorder: with the states in one transaction, each once, over restarts too."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.config import AgentConfig, SourceConfig
from edge_agent.outbox import Outbox
from edge_agent.outbox_content import unpack
from edge_agent.recorder import Recorder
from edge_agent.sources.base import Reading
from edge_agent.testing import START, FakeClock
from telemetry.records import Estimate, EventKind, EventsBatch, ReadingsBatch, VehicleEvent
from telemetry.service import reset_data
from tests.unit.edge_agent.outbox_support import DEVICE, publish_all
from tests.unit.edge_agent.service_support import Keeping, record

CONFIG = AgentConfig(device=DEVICE, source=SourceConfig(kind="obd_can"), outbox_path=Path("unused"), batch_seconds=60.0)


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as opened:
        yield opened


def recorder(outbox: Outbox, clock: FakeClock, estimator: Keeping) -> Recorder:
    return Recorder(config=CONFIG, estimators=[estimator], outbox=outbox, clock=clock)


def started(outbox: Outbox) -> tuple[Recorder, FakeClock, Keeping]:
    """A recorder past its first batch, which is sent early, with two samples in the running one."""
    clock, estimator = FakeClock(), Keeping()
    running = recorder(outbox, clock, estimator)
    for _ in range(3):
        running.accept(Reading(values={"Vehicle.Speed": 50.0}))
        running.tick()
        clock.advance(1)
    return running, clock, estimator


def told(outbox: Outbox) -> tuple[list[VehicleEvent], list[Estimate], int]:
    """Events about estimators, estimates, and the number of samples, of all that was sealed."""
    events: list[VehicleEvent] = []
    estimates: list[Estimate] = []
    samples = 0
    for entry in publish_all(outbox):
        batch = unpack(DEVICE, entry.channel, entry.payload)
        if isinstance(batch, ReadingsBatch):
            estimates += batch.estimates
            samples += len(batch.samples)
        else:
            assert isinstance(batch, EventsBatch)
            events += batch.events
    kinds = {EventKind.SERVICE_RESET, EventKind.SERVICE_SUSPECTED, EventKind.SIGNAL_DOUBTED}
    return [event for event in events if event.kind in kinds], estimates, samples


def test_a_service_is_sealed_with_its_event_and_a_fresh_estimate(outbox: Outbox) -> None:
    running, clock, _ = started(outbox)
    clock.advance(20)
    assert running.serviced(record()).state == "applied"
    events, estimates, samples = told(outbox)
    (event,) = events
    assert (event.kind, event.time, event.data) == (EventKind.SERVICE_RESET, clock.now(), reset_data(record()))
    assert estimates[-1].value == 1.0  # what it is after the service, and later than what was estimated before
    assert estimates[-1].time == clock.now()
    assert samples == 3


def test_the_same_record_counts_once_also_after_a_restart(outbox: Outbox) -> None:
    running, clock, estimator = started(outbox)
    assert [running.serviced(record()).state for _ in range(3)] == ["applied"] * 3
    assert len(estimator.told) == 1
    again = Keeping()
    assert recorder(outbox, FakeClock(clock.now()), again).serviced(record()).state == "applied"
    assert len(again.told) == 1
    assert len(told(outbox)[0]) == 1


def test_a_refused_record_changes_and_tells_nothing(outbox: Outbox) -> None:
    running, _, estimator = started(outbox)
    before = estimator.state()
    answer = running.serviced(record(value=120.0))
    assert answer.state == "refused"
    assert "more than all" in answer.reason
    assert estimator.state() == before
    assert told(outbox)[0] == []
    assert running.serviced(record(value=80.0)).state == "applied"  # the same id, put right: nothing was remembered


def test_a_clock_that_is_not_known_yet_lets_the_record_wait(outbox: Outbox) -> None:
    running, clock, estimator = started(outbox)
    clock.unsure = True
    assert running.serviced(record()).state == "later"
    assert estimator.told == []
    clock.unsure = False
    assert running.serviced(record()).state == "applied"


def test_a_service_before_the_first_sample_counts(outbox: Outbox) -> None:
    estimator = Keeping()
    assert recorder(outbox, FakeClock(), estimator).serviced(record()).state == "applied"
    events, estimates, _ = told(outbox)
    assert len(events) == 1
    assert estimates == []  # there is nothing to estimate from


def test_samples_of_the_running_batch_are_seen_once_where_a_service_comes_between(outbox: Outbox) -> None:
    running, clock, _ = started(outbox)
    running.serviced(record())
    running.accept(Reading(values={"Vehicle.Speed": 50.0}))
    running.flush()
    again = Keeping()  # killed here
    recorder(outbox, FakeClock(clock.now()), again)
    assert (again.samples, len(again.told)) == (4, 1)


def test_a_disk_that_refuses_leaves_the_record_untold(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    running, clock, _ = started(outbox)
    running.flush()

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(outbox, "clear_pending", refuse)  # in the middle of the transaction
        with suppress(OSError):
            running.serviced(record())
    assert told(outbox)[0] == []
    again = Keeping()
    restarted = recorder(outbox, FakeClock(clock.now()), again)
    assert again.told == []
    assert restarted.serviced(record()).state == "applied"
    assert len(told(outbox)[0]) == 1


def test_a_finding_is_told_once_with_the_batch_it_was_made_in(outbox: Outbox) -> None:
    running, clock, estimator = started(outbox)
    running.accept(Reading(values={"Vehicle.Speed": 220.0}))
    found_at = clock.now()
    running.flush()
    assert told(outbox)[0] == []  # not sealed yet
    clock.advance(70)
    running.tick()
    running.finish(ended=False)
    (event,) = told(outbox)[0]
    assert (event.kind, event.time) == (EventKind.SIGNAL_DOUBTED, found_at)
    assert estimator.found == []


def test_a_finding_is_not_lost_where_the_agent_is_killed_before_the_seal(outbox: Outbox) -> None:
    running, clock, _ = started(outbox)
    running.accept(Reading(values={"Vehicle.Speed": 220.0}))
    running.flush()
    recorder(outbox, FakeClock(clock.now() + timedelta(seconds=5)), Keeping())
    assert len(told(outbox)[0]) == 1
    recorder(outbox, FakeClock(clock.now() + timedelta(seconds=9)), Keeping())
    assert len(told(outbox)[0]) == 1
    assert told(outbox)[0][0].time > START
