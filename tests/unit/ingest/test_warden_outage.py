"""A fleet that had nobody to acknowledge for days is not taken for a flood; a flood is one all the same."""

import pytest

from edge_agent.outbox_batches import StoredBatch
from edge_agent.window import Window
from ingest.warden.limits import limits_of
from ingest.warden.meter import Meter
from ingest.warden.outage import SHORTEST_SECONDS, Pardon

HOUR = 3600
LIMITS = limits_of(50, 512 * 1024)


def said_meanwhile(outage_seconds: int, connected_for_seconds: int) -> int:
    """How many messages a dongle with a full window leaves at the broker, by the agent's own window."""
    window = Window(size=32, ack_timeout_seconds=10.0, jitter=lambda: 0.0)
    batches = [batch(number) for number in range(1, 33)]
    for each in batches:
        window.sent(each, 0.0)
    said = len(batches)
    now = connected_at = 0.0
    while (now := min(window.next_due(), connected_at + connected_for_seconds)) < outage_seconds:
        if now >= connected_at + connected_for_seconds:
            connected_at = now
            window.reconnected(now)
            said += 1  # its status
            continue
        for each in window.overdue(now):
            window.sent(each, now)
            said += 1
    return said


def batch(number: int) -> StoredBatch:
    return StoredBatch(id=number, channel="readings", published=True, items=60)


@pytest.mark.parametrize(
    ("hours", "connected_for_seconds"),
    [(24, 168 * HOUR), (168, 168 * HOUR), (48, HOUR), (12, 60), (3, 11)],
)
def test_what_piled_up_in_an_outage_is_limited_and_no_offence(hours: int, connected_for_seconds: int) -> None:
    """All of it comes within a second, by one worker."""
    said = said_meanwhile(hours * HOUR, connected_for_seconds)
    assert LIMITS is not None
    meter = Meter(limits=LIMITS)
    meter.pardon.after(hours * HOUR, 0.0)
    admitted = sum(meter.admit("d", 800, 0.0) for _ in range(said))
    assert admitted == min(said, 10_000)
    assert meter.collect() == {}


def test_an_outage_pardons_no_flood() -> None:
    assert LIMITS is not None
    meter = Meter(limits=LIMITS)
    meter.pardon.after(3600, 0.0)
    sent = 0
    while not meter.offences:
        meter.admit("d", 1, 0.0)
        sent += 1
    assert sent == 10_000 + 2_000 + 32 * 360 + 1


def test_a_pardon_is_of_each_device_and_ends() -> None:
    pardon = Pardon()
    pardon.after(SHORTEST_SECONDS - 1, 0.0)
    assert not pardon.use("d", 0.0)
    pardon.after(1000, 0.0)
    assert [sum(pardon.use(device, 10.0) for _ in range(10_000)) for device in ("a", "b")] == [3200, 3200]
    pardon.after(SHORTEST_SECONDS, 20.0)  # a pause meanwhile
    assert not pardon.use("a", 30.0)
    assert not pardon.use("c", 4000.0)
    pardon.after(1000, 4000.0)
    assert pardon.use("a", 4000.0)
