"""How many batches are in flight follows how quickly they are acknowledged."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.congestion import START, InFlight

TIMEOUT = 10.0
QUICK, SLOW = 0.1, 6.0


def test_it_begins_with_one_and_doubles_each_round_while_answers_are_quick() -> None:
    flying = InFlight(most=32, ack_timeout_seconds=TIMEOUT)
    rounds = []
    for number in range(6):
        rounds.append(flying.limit)
        for _ in range(flying.limit):
            flying.acknowledged(QUICK, float(number))
    assert rounds == [START, 2, 4, 8, 16, 32]


def test_it_halves_once_for_all_that_were_late_and_then_adds_one_each_round() -> None:
    flying = InFlight(most=32, ack_timeout_seconds=TIMEOUT)
    for _ in range(40):
        flying.acknowledged(QUICK, 0.0)
    for _ in range(32):
        flying.acknowledged(SLOW, 1.0)
    assert flying.limit == 16
    for _ in range(17):
        flying.acknowledged(QUICK, 2.0)
    assert flying.limit == 17
    flying.late(12.0)
    assert flying.limit == 8


def test_a_new_connection_begins_anew() -> None:
    flying = InFlight(most=32, ack_timeout_seconds=TIMEOUT)
    for _ in range(40):
        flying.acknowledged(QUICK, 0.0)
    flying.reconnected()
    assert flying.limit == START


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=300))
def test_it_keeps_between_its_bounds(most: int, answers: list[tuple[float, bool]]) -> None:
    flying = InFlight(most=most, ack_timeout_seconds=TIMEOUT)
    now = 0.0
    for waited, lost in answers:
        now += waited
        if lost:
            flying.late(now)
        else:
            flying.acknowledged(waited, now)
        assert START <= flying.limit <= most
