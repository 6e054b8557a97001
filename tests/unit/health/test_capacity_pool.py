"""Windows pooled: what is rejected, what proves another battery, and what does not."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from health.capacity.filter import FilterParameters
from health.capacity.pool import Change, Pool, Window, started_from
from health.errors import HealthError

START = datetime(2026, 3, 1, tzinfo=UTC)
PARAMETERS = FilterParameters()
SIGMA = 0.04


def fed(pool: Pool, capacities: list[float], rng: random.Random, first_day: int = 0) -> list[Change]:
    found = []
    for day, capacity in enumerate(capacities):
        y = rng.uniform(0.3, 0.6)
        x = y / capacity + rng.gauss(0, SIGMA)
        window = Window(kind="gauge", x=x, y=y, sigma_x=SIGMA, sigma_y=0.005)
        change = pool.take(START + timedelta(days=first_day + day), window, PARAMETERS)
        found += [] if change is None else [change]
    return found


def capacity(pool: Pool) -> float:
    assert pool.bank is not None
    return 1 / pool.bank.mixture()[0]


def test_no_change_is_seen_where_there_is_none() -> None:
    """Thirty batteries with 200 charges each, one of which may be mistaken."""
    changes = [fed(Pool(), [0.9 - 0.0002 * day for day in range(200)], random.Random(seed)) for seed in range(30)]
    assert sum(map(len, changes)) <= 1


@pytest.mark.parametrize("before", [0.7, 0.8])
def test_a_new_battery_is_found_within_ten_charges(before: float) -> None:
    found = 0
    for seed in range(20):
        pool, rng = Pool(), random.Random(seed)
        assert fed(pool, [before] * 30, rng) == []
        changes = fed(pool, [1.0] * 10, rng, first_day=30)
        found += len(changes) == 1 and changes[0].after > changes[0].before
    assert found >= (18 if before == 0.7 else 10)


def test_one_window_far_off_is_rejected_and_moves_nothing() -> None:
    pool = Pool()
    fed(pool, [0.9] * 30, random.Random(1))
    before = capacity(pool)
    assert fed(pool, [0.3], random.Random(1), first_day=30) == []
    assert pool.rejected == 1
    assert capacity(pool) == pytest.approx(before, abs=1e-3)


def test_one_wrong_window_that_claims_to_be_exact_proves_nothing() -> None:
    """A rested voltage after a drive that nobody saw, among windows of the gauge that would fit either capacity."""
    for seed in range(20):
        pool, rng = Pool(), random.Random(seed)
        fed(pool, [0.97] * 30, rng)
        before = capacity(pool)
        wrong = Window(kind="rests", x=0.246, y=0.322, sigma_x=0.006, sigma_y=0.005)
        assert pool.take(START + timedelta(days=31), wrong, PARAMETERS) is None
        assert fed(pool, [0.97] * 8, rng, first_day=32) == []
        assert capacity(pool) == pytest.approx(before, abs=0.03)


def test_it_can_be_started_from_a_capacity_known_otherwise() -> None:
    pool = Pool()
    started_from(pool, START, 0.8, 0.02, PARAMETERS)
    assert capacity(pool) == pytest.approx(0.8)
    fed(pool, [0.8] * 10, random.Random(2), first_day=1)
    assert capacity(pool) == pytest.approx(0.8, abs=0.03)


def test_asking_for_another_time_changes_nothing() -> None:
    pool = Pool()
    assert pool.advanced(START, PARAMETERS) is None
    fed(pool, [0.9] * 5, random.Random(3))
    before = capacity(pool)
    later = pool.advanced(START + timedelta(days=900), PARAMETERS)
    assert later is not None
    assert capacity(pool) == before
    assert pool.bank is not None
    assert later.mixture()[1] > pool.bank.mixture()[1]


def test_no_way_to_fade_is_an_error() -> None:
    with pytest.raises(HealthError, match="fadings: give at least one"):
        FilterParameters(fadings=())
