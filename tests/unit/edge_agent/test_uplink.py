"""The window of unacknowledged batches: bounded, oldest first, sent again with growing pauses."""

import itertools
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import MqttConfig, TlsConfig, UplinkConfig
from edge_agent.errors import UplinkError
from edge_agent.outbox import Outbox, StoredBatch
from edge_agent.testing import FakeClock
from edge_agent.uplink import MAX_RESEND_SECONDS, MqttUplink, Window

BOOT = UUID(int=1)


def batches(*ids: int) -> tuple[StoredBatch, ...]:
    return tuple(StoredBatch(id=id_, boot=BOOT, sequence=id_, channel="readings", attempts=0) for id_ in ids)


def due(window: Window, oldest: tuple[StoredBatch, ...], now: float) -> list[int]:
    found = window.due(oldest, now)
    for batch in found:
        window.sent(batch, now)
    return [batch.id for batch in found]


def test_it_holds_no_more_than_its_size_and_lets_followers_in_as_others_leave() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 0.0)
    assert due(window, batches(1, 2, 3, 4, 5), 0.0) == [1, 2, 3]
    assert due(window, batches(1, 2, 3, 4, 5), 1.0) == []
    window.acknowledged([2])
    assert due(window, batches(1, 3, 4, 5), 2.0) == [4]
    assert len(window) == 3


def test_what_is_overdue_is_sent_again_after_growing_pauses() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 0.0)
    sent = [now for now in range(2000) if due(window, batches(1), float(now))]
    assert sent[:5] == [0, 10, 30, 70, 150]
    assert max(after - before for before, after in itertools.pairwise(sent)) == MAX_RESEND_SECONDS


def test_jitter_spreads_resends() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 1.0)
    due(window, batches(1), 0.0)
    assert window.next_due() == 12.5


def test_after_a_reconnect_everything_has_one_timeout() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 0.0)
    for now in (0.0, 10.0, 30.0):
        assert due(window, batches(1), now) == [1]
    window.reconnected(35.0)
    assert due(window, batches(1), 44.9) == []
    assert due(window, batches(1), 45.0) == [1]


def test_what_left_the_outbox_otherwise_is_forgotten() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 0.0)
    due(window, batches(1, 2, 3), 0.0)
    assert due(window, batches(3, 4, 5), 1.0) == [4, 5]  # 1 and 2 were thinned out
    assert window.next_due() == 10.0


def test_nothing_in_flight_is_never_due() -> None:
    assert Window(size=3, ack_timeout_seconds=10).next_due() == float("inf")


@given(
    size=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 3), st.sets(st.integers(0, 40))), max_size=40),
)
def test_every_batch_is_sent_and_none_twice_within_the_timeout(
    size: int, steps: list[tuple[float, int, set[int]]]
) -> None:
    window = Window(size=size, ack_timeout_seconds=10)
    outbox: list[int] = []
    last_sent: dict[int, float] = {}
    now, next_id = 0.0, 1
    for passed, arriving, acknowledged in steps:
        now += passed
        outbox += range(next_id, next_id + arriving)
        next_id += arriving
        for id_ in due(window, batches(*outbox), now):
            assert id_ in outbox[:size]
            assert now - last_sent.get(id_, float("-inf")) >= 10
            last_sent[id_] = now
        assert set(outbox[:size]) <= last_sent.keys()
        assert len(window) <= size
        gone = [id_ for id_ in outbox if id_ in acknowledged and id_ in last_sent]
        window.acknowledged(gone)
        outbox = [id_ for id_ in outbox if id_ not in gone]


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    mqtt = MqttConfig(tls=TlsConfig(ca=tmp_path / "ca.pem"))
    with (
        Outbox.open(":memory:", device="car-1", max_bytes=1000) as outbox,
        pytest.raises(UplinkError, match=r"ca\.pem.*check mqtt\.tls"),
    ):
        MqttUplink(device="car-1", mqtt=mqtt, uplink=UplinkConfig(), outbox=outbox, clock=FakeClock())
