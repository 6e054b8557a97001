"""The window of unacknowledged batches: bounded, the present first, sent again with growing pauses."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox_batches import StoredBatch
from edge_agent.window import MAX_RESEND_SECONDS, Window


def readings(*ids: int) -> tuple[StoredBatch, ...]:
    return tuple(StoredBatch(id=id_, channel="readings", published=False, items=1) for id_ in ids)


def events(*ids: int) -> tuple[StoredBatch, ...]:
    return tuple(StoredBatch(id=id_, channel="events", published=False, items=1) for id_ in ids)


def wide(size: int, ack_timeout_seconds: float, jitter: float = 0.5) -> Window:
    """A window that quick acknowledgements have opened as far as it goes."""
    window = Window(size=size, ack_timeout_seconds=ack_timeout_seconds, jitter=lambda: jitter)
    for id_ in range(-size, 0):
        (batch,) = readings(id_)
        window.sent(batch, 0.0)
        window.acknowledged([id_], 0.0)
    return window


def step(window: Window, stored: Sequence[StoredBatch], now: float) -> list[int]:
    """What the uplink does with an outbox of these batches."""
    of_readings = [batch for batch in stored if batch.channel == "readings"]
    fresh = window.next(
        newest=of_readings[::-1][: window.size],
        events=[batch for batch in stored if batch.channel == "events"][: window.size],
        oldest=of_readings[: window.size],
    )
    due = (*window.overdue(now), *fresh)
    for batch in due:
        window.sent(batch, now)
    return [batch.id for batch in due]


def test_the_newest_comes_first_then_events_then_the_backlog_from_its_beginning() -> None:
    window = wide(8, ack_timeout_seconds=10)
    stored = sorted((*readings(1, 2, 4, 5, 7, 8), *events(3, 6)), key=lambda batch: batch.id)
    assert step(window, stored, 0.0) == [8, 3, 6, 1, 2, 4, 5, 7]


def test_what_is_sealed_while_connected_goes_before_the_backlog() -> None:
    window = wide(4, ack_timeout_seconds=10)
    backlog = [*range(1, 11)]
    assert step(window, readings(*backlog), 0.0) == [10, 1, 2, 3]
    window.gone([1, 10])
    assert step(window, readings(*backlog[1:-1], 11), 1.0) == [11, 4]


def test_on_a_slow_line_the_backlog_has_its_share() -> None:
    window = wide(8, ack_timeout_seconds=1e9)
    stored = list(range(1, 101))
    step(window, readings(*stored), 0.0)
    sent_of_backlog = 0
    for newest in range(101, 301):  # two are sealed while one is acknowledged
        stored.append(newest)
        if newest % 2:
            oldest_in_flight = next(iter(window._flights))
            window.gone([oldest_in_flight])
            stored.remove(oldest_in_flight)
        sent_of_backlog += sum(id_ <= 100 for id_ in step(window, readings(*stored), 0.0))
    assert sent_of_backlog >= 20


def test_a_window_of_one_leaves_every_fourth_place_to_the_backlog() -> None:
    window = Window(size=1, ack_timeout_seconds=1e9)
    stored = list(range(1, 101))
    sent: list[int] = []
    for newest in range(101, 121):  # one is sealed for each that is acknowledged
        (id_,) = step(window, readings(*stored), 0.0)
        sent.append(id_)
        stored.remove(id_)
        window.acknowledged([id_], 0.0)
        stored.append(newest)
    assert sent[:8] == [100, 101, 102, 1, 104, 105, 106, 2]


def test_a_long_backlog_is_sent_several_at_a_time_to_spare_the_flash() -> None:
    window = wide(16, ack_timeout_seconds=1e9)
    stored = list(range(1, 101))
    in_flight = step(window, readings(*stored), 0.0)
    sizes = []
    for id_ in in_flight[1:12]:
        window.gone([id_])
        stored.remove(id_)
        sizes.append(len(step(window, readings(*stored), 0.0)))
    assert sizes == [0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]
    assert step(window, (*readings(*stored), *events(200)), 0.0) != []  # an event does not wait for company


def test_it_holds_no_more_than_its_size_and_lets_followers_in_as_others_leave() -> None:
    window = wide(3, ack_timeout_seconds=10, jitter=0.0)
    assert step(window, events(1, 2, 3, 4, 5), 0.0) == [1, 2, 3]
    assert step(window, events(1, 2, 3, 4, 5), 1.0) == []
    window.gone([2])
    assert step(window, events(1, 3, 4, 5), 2.0) == [4]
    assert len(window) == 3


def test_what_is_overdue_is_sent_again_after_growing_pauses() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 0.0)
    sent = [now for now in range(2000) if step(window, readings(1), float(now))]
    assert sent[:5] == [0, 10, 30, 70, 150]
    assert max(after - before for before, after in itertools.pairwise(sent)) == MAX_RESEND_SECONDS


def test_jitter_spreads_resends() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 1.0)
    step(window, readings(1), 0.0)
    assert window.next_due() == 12.5


def test_after_a_reconnect_everything_has_one_timeout() -> None:
    window = Window(size=3, ack_timeout_seconds=10, jitter=lambda: 0.0)
    for now in (0.0, 10.0, 30.0):
        assert step(window, readings(1), now) == [1]
    window.reconnected(35.0)
    assert step(window, readings(1), 44.9) == []
    assert step(window, readings(1), 45.0) == [1]


def test_nothing_in_flight_is_never_due() -> None:
    assert Window(size=3, ack_timeout_seconds=10).next_due() == float("inf")


@given(
    size=st.integers(1, 9),
    steps=st.lists(
        st.tuples(st.floats(0, 30), st.integers(0, 3), st.booleans(), st.sets(st.integers(0, 40))), max_size=40
    ),
)
def test_every_batch_is_sent_and_none_twice_within_the_timeout(
    size: int, steps: list[tuple[float, int, bool, set[int]]]
) -> None:
    window = Window(size=size, ack_timeout_seconds=10)
    outbox: list[StoredBatch] = []
    last_sent: dict[int, float] = {}
    now, next_id = 0.0, 1
    for passed, arriving, of_events, acknowledged in steps:
        now += passed
        ids = range(next_id, next_id + arriving)
        outbox += events(*ids) if of_events else readings(*ids)
        next_id += arriving
        for id_ in step(window, outbox, now):
            assert now - last_sent.get(id_, float("-inf")) >= 10
            last_sent[id_] = now
        assert len(window) <= size
        gone = [batch.id for batch in outbox if batch.id in acknowledged and batch.id in last_sent]
        window.gone(gone)
        outbox = [batch for batch in outbox if batch.id not in gone]
    while outbox:  # all that is in flight is acknowledged until nothing is left
        gone = [batch.id for batch in outbox if batch.id in window._flights] or step(window, outbox, now)
        assert gone
        window.gone(gone)
        outbox = [batch for batch in outbox if batch.id not in gone]
