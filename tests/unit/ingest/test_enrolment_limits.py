"""Attempts: a burst, then a pace, for each name apart."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.enrolment import limits
from ingest.enrolment.limits import Limit


@given(st.lists(st.floats(min_value=0, max_value=100), max_size=60))
def test_never_more_than_burst_and_pace_allow(pauses: list[float]) -> None:
    limit, now, taken = Limit(burst=5, per_second=0.1), 0.0, 0
    for pause in pauses:
        now += pause
        free = not limit.exhausted("a", now)
        assert limit.take("a", now) == free
        taken += free
        assert taken <= 5 + 0.1 * now + 1e-6


def test_names_are_apart_and_old_ones_are_forgotten() -> None:
    limit = Limit(burst=1, per_second=0)
    assert limit.take("first", 0)
    assert not limit.take("first", 0)
    for number in range(limits.MOST_NAMES):
        assert limit.take(str(number), 0)
    assert limit.take("first", 0)
