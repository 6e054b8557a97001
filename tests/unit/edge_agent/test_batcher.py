"""When a batch is full, and when estimates are due."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.batcher import Batcher, EstimateSchedule

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)


def test_the_first_sample_of_all_waits_less() -> None:
    batcher = Batcher(samples=10, seconds=5.0, first_seconds=0.3)
    batcher.sealed()  # nothing was in it
    batcher.added(1000)
    assert not batcher.due(1299)
    assert batcher.due(1300)
    batcher.sealed()
    batcher.added(2000)
    assert not batcher.due(2300)
    assert batcher.due(7000)


def test_an_empty_batch_is_never_due() -> None:
    batcher = Batcher(samples=60, seconds=10)
    assert not batcher.due(10**12)


def test_a_batch_is_due_by_its_first_sample_not_its_last() -> None:
    batcher = Batcher(samples=60, seconds=10)
    batcher.added(1_000)
    batcher.added(10_000)
    assert not batcher.due(10_999)
    assert batcher.due(11_000)
    batcher.sealed()
    assert not batcher.due(100_000)


@given(gaps_ms=st.lists(st.integers(0, 20_000), min_size=1, max_size=300))
def test_no_batch_is_larger_or_older_than_allowed(gaps_ms: list[int]) -> None:
    batcher = Batcher(samples=60, seconds=10)
    now, first = 0, 0
    for gap in gaps_ms:
        now += gap
        if batcher.due(now):
            batcher.sealed()
        if batcher.waiting == 0:
            first = now
        batcher.added(now)
        assert batcher.waiting <= 60
        assert now - first < 10_000
        if batcher.due(now):
            batcher.sealed()


def test_estimates_are_due_first_and_then_once_per_period_of_the_samples_time() -> None:
    schedule = EstimateSchedule(seconds=60)
    made = []
    for second in range(0, 200, 10):
        moment = NOW + timedelta(seconds=second)
        if schedule.due(moment):
            schedule.made(moment)
            made.append(second)
    assert made == [0, 60, 120, 180]
    assert not EstimateSchedule(seconds=60, last=schedule.last).due(NOW + timedelta(seconds=239))


def test_a_clock_that_was_put_back_does_not_keep_estimates_from_being_made() -> None:
    assert EstimateSchedule(seconds=60, last=NOW.replace(year=2090)).due(NOW)
