"""What a worker holds and may ask for."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ingest.sources.holding import Demand, Holding

MIB = 1024 * 1024


def holding(messages: int = 100, size: int = 64 * MIB) -> Holding:
    return Holding(most_messages=messages, most_bytes=size)


def test_what_is_asked_and_what_is_held_take_up_room() -> None:
    kept = holding()
    assert kept.demand() == Demand(messages=100, bytes=64 * MIB)
    assert kept.demand() is None, "all of the room is spoken for"
    for number in range(100):
        kept.take(f"r{number}", 1000, 0.0)
    assert kept.asked == 0
    assert kept.demand() is None, "all of the room is taken"
    for number in range(49):
        kept.settle(f"r{number}")
    assert kept.demand() is None, "it is not worth a request"
    kept.settle("r49")
    assert kept.demand() == Demand(messages=50, bytes=64 * MIB - 50_000)


def test_room_in_bytes_counts_too() -> None:
    kept = holding(size=10 * MIB)
    for number in range(9):
        kept.take(f"r{number}", MIB, 0.0)
    assert kept.demand() is None
    kept.settle("r0")
    assert kept.demand() == Demand(messages=92, bytes=2 * MIB)


def test_what_a_request_did_not_bring_may_be_asked_for_again() -> None:
    kept = holding()
    kept.demand()
    kept.take("r", 10, 0.0)
    kept.unanswered(99)
    assert kept.demand() == Demand(messages=99, bytes=64 * MIB - 10)
    kept.nothing_asked()
    assert kept.demand() == Demand(messages=99, bytes=64 * MIB - 10)


def test_time_is_extended_at_intervals_and_not_for_ever() -> None:
    kept = holding()
    kept.take("r", 10, 0.0)

    def due(now: float) -> list[str]:
        return kept.to_extend(now, after_seconds=10, at_most_seconds=45)

    assert [now for now in range(100) if due(now)] == [10, 20, 30, 40]
    kept.settle("r")
    kept.take("r", 10, 100.0)
    assert due(110) == ["r"]


class Room(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.kept = holding(20)
        self.held: set[str] = set()
        self.owed = 0

    @rule()
    def ask(self) -> None:
        demand = self.kept.demand()
        if demand is not None:
            self.owed += demand.messages

    @rule(receipt=st.integers(0, 50).map(str))
    def come(self, receipt: str) -> None:
        if self.owed:
            self.owed -= 1
            self.kept.take(receipt, 10, 0.0)
            self.held.add(receipt)

    @rule(receipt=st.integers(0, 50).map(str))
    def settle(self, receipt: str) -> None:
        self.kept.settle(receipt)
        self.held.discard(receipt)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        missing = data.draw(st.integers(0, self.owed))
        self.owed -= missing
        self.kept.unanswered(missing)

    @invariant()
    def the_bound_holds(self) -> None:
        assert self.kept.asked == self.owed
        assert len(self.kept) == len(self.held)
        assert len(self.held) + self.owed <= 20


TestRoom = Room.TestCase


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1000)), max_size=30))
def test_a_message_that_comes_again_counts_once(taken: list[tuple[str, int]]) -> None:
    kept = holding(1000)
    for receipt, size in taken:
        kept.take(receipt, size, 0.0)
    demand = kept.demand()
    assert demand is not None
    assert demand.bytes == 64 * MIB - sum(dict(taken).values())
