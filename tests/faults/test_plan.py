"""What is drawn: the same for the same seed, nothing hit twice at a time, every kind before any comes again."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.brokers import SHAPES, Shape
from tests.faults.fault import DATABASE_TARGETS, DELIVERY_TARGETS, RECEIVER_TARGETS
from tests.faults.kinds import kinds_of
from tests.faults.plan import Planned, rounds

shapes = st.sampled_from(SHAPES)
seeds = st.integers(0, 2**32 - 1)


def drawn(shape: Shape, seed: int, count: int) -> list[tuple[Planned, ...]]:
    return list(islice(rounds(seed, kinds_of(shape)), count))


@given(shapes, seeds)
def test_a_seed_repeats_the_choices(shape: Shape, seed: int) -> None:
    assert drawn(shape, seed, 30) == drawn(shape, seed, 30)


@given(shapes, seeds)
def test_nothing_is_hit_twice_at_a_time(shape: Shape, seed: int) -> None:
    known = kinds_of(shape)
    for planned in drawn(shape, seed, 60):
        assert 1 <= len(planned) <= 3
        hit = [target for one in planned for target in (one.target, *known[one.kind].also)]
        assert len(hit) == len(set(hit))
        for one in planned:
            assert one.target in known[one.kind].targets
            low, high = known[one.kind].hold_seconds
            assert low <= one.hold_seconds <= high


@given(shapes, seeds)
def test_every_kind_comes_before_any_comes_again(shape: Shape, seed: int) -> None:
    known = kinds_of(shape)
    kinds = [one.kind for planned in drawn(shape, seed, 80) for one in planned]
    whole = len(kinds) // len(known)
    assert whole >= 1
    for place in range(whole):
        assert set(kinds[place * len(known) : (place + 1) * len(known)]) == set(known)


def test_faults_come_alone_and_together() -> None:
    sizes = {len(planned) for planned in drawn("node", 1, 40)}
    assert sizes == {1, 2, 3}


def test_a_message_that_comes_again_is_excused_by_no_fault_far_from_it() -> None:
    kinds = {name: kind for shape in SHAPES for name, kind in kinds_of(shape).items()}
    excusing = {name for name, kind in kinds.items() if kind.repeats_messages}
    assert {name for name in excusing if name.split()[0] in {"agent", "worker", "broker", "cluster", "clock"}} == set()
    near = {*DELIVERY_TARGETS, *RECEIVER_TARGETS, *DATABASE_TARGETS}
    assert {target for name in excusing for target in kinds[name].targets} == near
