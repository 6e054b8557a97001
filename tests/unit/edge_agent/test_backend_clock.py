"""A batch refused as of the future by a backend whose own clock is wrong, and one that truly is of the future."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from edge_agent.outbox import Outbox
from edge_agent.testing import START, FakeClock
from telemetry.records import Acknowledgement, RejectedBatch
from tests.unit.edge_agent.outbox_support import DEVICE, publish_all
from tests.unit.edge_agent.test_recorder_clock import arrived, drive, recorder


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with Outbox.open(":memory:", device=DEVICE, max_bytes=10_000_000) as opened:
        yield opened


def test_a_right_batch_is_not_given_up_because_the_backends_clock_is_wrong(outbox: Outbox) -> None:
    clock = FakeClock(START, 30_000)
    clock.synchronised = True
    running = recorder(outbox, clock)
    drive(running, clock, 6)
    published = publish_all(outbox)
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason="far-future") for entry in published)
    assert outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused)) == ()
    # The car is parked with the backend still wrong: another start of the machine sends them again all the same.
    later = FakeClock(START + timedelta(hours=8), 5_000, kernel_boot="kernel-2")
    later.synchronised = True
    recorder(outbox, later).tick()
    assert outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused)) == ()
    assert outbox.sendable_batches() == outbox.pending_batches()
    assert {entry.key for entry in published} <= {entry.key for entry in publish_all(outbox)}
    assert outbox.rejected() == ()


def test_a_batch_of_the_future_waits_for_the_clock_even_where_that_is_synchronised(outbox: Outbox) -> None:
    clock = FakeClock(START + timedelta(hours=5), 30_000)
    running = recorder(outbox, clock)
    drive(running, clock, 6)
    published = publish_all(outbox)
    clock.set(START + timedelta(seconds=6))
    clock.synchronised = True
    running.tick()
    refused = tuple(RejectedBatch(sequence=entry.key.sequence, reason="far-future") for entry in published)
    assert len(outbox.acknowledge(Acknowledgement(device=DEVICE, boot=clock.boot, rejected=refused))) == len(published)
    running.tick()
    samples, _ = arrived(outbox)
    assert [sample.time for sample in samples][:5] == [START + timedelta(seconds=n) for n in range(5)]
