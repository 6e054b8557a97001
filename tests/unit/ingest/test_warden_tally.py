"""Of whom other workers are told, when, and what becomes of it where they cannot be."""

from collections.abc import Callable
from functools import partial

import pytest

from ingest.decoding.decode import is_answer
from ingest.sources.port import is_said_again
from ingest.warden.bucket import Allowance
from ingest.warden.limits import Limits
from ingest.warden.meter import Meter
from ingest.warden.tally import Tally, Use

LIMITS = Limits(
    messages=Allowance(per_second=50, burst=10_000), bytes=Allowance(per_second=512 * 1024, burst=100 * 1024 * 1024)
)


def tally(**messages: int) -> Tally:
    made = Tally(LIMITS)
    for device, number in messages.items():
        for _ in range(number):
            made.admitted(device, 100)
    return made


def test_who_sends_next_to_nothing_is_told_of_never_and_forgotten() -> None:
    usual = tally(usual=10, busy=11)
    assert not usual.presses
    assert usual.collect(all_due=False) == {}
    assert usual.collect(all_due=True) == {"busy": Use(messages=11, bytes=1100)}
    assert usual.of("usual") == usual.of("busy") == Use()


def test_who_sends_much_is_told_of_at_once_and_who_comes_near_it_along_with_him() -> None:
    assert not tally(much=200, near=101, little=100).presses
    busy = tally(much=201, near=101, little=100)
    assert busy.presses
    assert set(busy.collect(all_due=False)) == {"much", "near"}
    assert busy.of("little").messages == 100
    assert not busy.presses


@pytest.mark.parametrize(
    ("press", "times"),
    [
        (partial(Tally.admitted, device="d", size_bytes=1024 * 1024), 3),
        (partial(Tally.refused, device="d"), 41),
        (partial(Tally.malformed, device="d"), 2),
    ],
)
def test_bytes_refusals_and_rubbish_press_too(press: Callable[[Tally], None], times: int) -> None:
    made, seen = tally(), []
    for _ in range(times):
        press(made)
        seen.append(made.presses)
    assert seen == [False] * (times - 1) + [True]


def test_what_could_not_be_told_is_told_later_with_what_came_since() -> None:
    busy = tally(d=20)
    told = busy.collect(all_due=True)
    busy.admitted("d", 100)
    busy.give_back(told)
    assert busy.collect(all_due=True) == {"d": Use(messages=21, bytes=2100)}


def test_what_is_left_is_for_all_and_what_is_not_told_yet_is_taken_off() -> None:
    counted = Tally(LIMITS)
    meter = Meter(limits=LIMITS, tally=counted)
    for _ in range(3):
        assert meter.admit("d", 1, 0.0)
    meter.left({"d": Use(messages=5, bytes=1e6, over=10, malformed=10)}, 0.0)
    assert [meter.admit("d", 1, 0.0) for _ in range(3)] == [True, True, False]
    assert meter.admit("d", 1, 1.0)
    meter.left({"d": Use(messages=-100, bytes=1e6, over=10, malformed=10)}, 1.0)
    assert not meter.admit("d", 1, 2.0)  # others took too much: that has to fill again first
    assert meter.admit("d", 1, 4.0)


def test_answers_are_told_from_what_the_backend_says() -> None:
    assert is_answer("wearcast/v1/d/results/dtc")
    assert not any(map(is_answer, ("wearcast/v1/d/readings", "wearcast/v1/d/acks", "wearcast/v1/d/commands/results/x")))


def test_what_is_said_again_need_not_be_kept_for_who_is_away() -> None:
    assert is_said_again("wearcast/v1/d/acks")
    assert is_said_again("wearcast/v1/d/commands/wipe")
    assert not is_said_again("wearcast/v1/d/commands/service")
