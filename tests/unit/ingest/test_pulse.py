"""The pulse: alive while its loops turn, ready while nothing keeps it from working."""

from ingest.pulse import Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_stands_still_is_dead_until_it_turns_again() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.turn("event loop", 30)
    clock.now = 30
    assert pulse.stopped_loops() == []
    clock.now = 95
    assert pulse.stopped_loops() == ["event loop stands still, its turn is overdue by 65 s"]
    assert pulse.problems() == pulse.stopped_loops()
    pulse.turn("event loop", 30)
    assert pulse.problems() == []


def test_a_loop_that_ended_in_order_is_expected_no_more() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.turn("event loop", 30)
    pulse.ended("event loop")
    clock.now = 1000
    assert pulse.stopped_loops() == []


def test_a_trouble_makes_it_unready_and_not_dead() -> None:
    pulse = Pulse(Clock())
    pulse.trouble("broker", "not connected")
    assert pulse.problems() == ["broker: not connected"]
    assert pulse.stopped_loops() == []
    pulse.well("broker")
    assert pulse.problems() == []


def test_work_that_takes_longer_than_it_ever_should_is_a_problem_until_it_is_done() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    with pulse.work("storing a group", 120):
        clock.now = 120
        assert pulse.problems() == []
        clock.now = 180
        assert pulse.problems() == ["storing a group has taken 180 s"]
        assert pulse.stopped_loops() == []
    assert pulse.problems() == []
