"""What is drawn: the same for the same seed, nothing hit twice at a time, every kind before any comes again."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.kinds import KINDS
from tests.faults.plan import Planned, rounds

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, count: int) -> list[tuple[Planned, ...]]:
    return list(islice(rounds(seed, KINDS), count))


@given(seeds)
def test_a_seed_repeats_the_choices(seed: int) -> None:
    assert drawn(seed, 30) == drawn(seed, 30)


@given(seeds)
def test_nothing_is_hit_twice_at_a_time(seed: int) -> None:
    for planned in drawn(seed, 60):
        assert 1 <= len(planned) <= 3
        hit = [target for one in planned for target in (one.target, *KINDS[one.kind].also)]
        assert len(hit) == len(set(hit))
        for one in planned:
            assert one.target in KINDS[one.kind].targets
            low, high = KINDS[one.kind].hold_seconds
            assert low <= one.hold_seconds <= high


@given(seeds)
def test_every_kind_comes_before_any_comes_again(seed: int) -> None:
    kinds = [one.kind for planned in drawn(seed, 80) for one in planned]
    whole = len(kinds) // len(KINDS)
    assert whole >= 1
    for place in range(whole):
        assert set(kinds[place * len(KINDS) : (place + 1) * len(KINDS)]) == set(KINDS)


def test_faults_come_alone_and_together() -> None:
    sizes = {len(planned) for planned in drawn(1, 40)}
    assert sizes == {1, 2, 3}
