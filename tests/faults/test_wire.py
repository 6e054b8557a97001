"""Where a wire is cut: after what was said in turn, however it came in pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.wire import _end_of_last

SAID = b"INSERT INTO other; COMMIT; INSERT INTO alert; INSERT INTO booking; COMMIT; COMMIT"
TRIGGERS = (b"alert", b"COMMIT")
END = SAID.index(b"COMMIT", SAID.index(b"alert")) + len(b"COMMIT")


@given(st.lists(st.integers(0, len(SAID)), max_size=8))
def test_it_is_cut_after_the_last_of_the_triggers_that_came_in_turn(places: list[int]) -> None:
    triggers = list(TRIGGERS)
    bounds = sorted({0, *places, len(SAID)})
    seen = b""
    for begin, end in pairwise(bounds):
        found = _end_of_last(triggers, seen + SAID[begin:end])
        if found is not None:
            assert begin - len(seen) + found == END
            return
        seen = (seen + SAID[begin:end])[-len(triggers[0]) :]
    raise AssertionError("it was said and not seen")


def test_nothing_is_cut_before_the_first_of_the_triggers() -> None:
    triggers = list(TRIGGERS)
    assert _end_of_last(triggers, b"COMMIT; COMMIT") is None
    assert tuple(triggers) == TRIGGERS
