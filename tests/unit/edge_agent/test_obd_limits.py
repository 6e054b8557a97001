"""How much is asked, how long is waited, and what is asked again: pure, and in front of a scripted tester."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigurationError
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.plan import RatePlan
from edge_agent.sources.obd import DEFAULT_ECUS, ObdConfig, ObdSource
from edge_agent.tester.limits import Limits, Load, Patience, frames_of
from edge_agent.tester.polite import PoliteTester, politely
from edge_agent.tester.testing import ScriptedTester
from tests.unit.edge_agent.obd_support import Clock


@pytest.mark.parametrize(("payload", "frames"), [(0, 1), (1, 1), (7, 1), (8, 3), (13, 3), (14, 4), (20, 4), (46, 8)])
def test_frames_of_a_payload(payload: int, frames: int) -> None:
    assert frames_of(payload) == frames


@given(
    st.floats(1, 200),
    st.floats(0.005, 0.5),
    st.lists(st.tuples(st.integers(1, 40), st.floats(0, 0.5)), min_size=1, max_size=200),
)
def test_no_more_than_allowed_in_any_stretch(
    requests_per_s: float, bus_share: float, asked: list[tuple[int, float]]
) -> None:
    limits = Limits(requests_per_s=requests_per_s, bus_share=bus_share)
    now = 100.0
    load = Load(limits, now)
    sent: list[tuple[float, float]] = []  # when, seconds of bus
    for frames, idle_s in asked:
        now += idle_s
        now += load.wait_s(now)
        load.used(now, frames)
        sent.append((now, frames * 135 / limits.bit_rate))
    for first in range(len(sent)):
        stretch_s = sent[-1][0] - sent[first][0]
        assert len(sent) - first <= requests_per_s * (stretch_s + 1) + 1.001
        # the last request may overdraw: what its answer takes is not known before
        busy_s = sum(used for _, used in sent[first:-1])
        assert busy_s <= bus_share * (stretch_s + 1) + max(used for _, used in sent) + 1e-6


def test_a_slow_ecu_is_given_time_and_a_silent_one_is_not() -> None:
    patience = Patience(0.2)
    assert patience.given_s({"7E8"}) == 0.2
    patience.silent("7E8")
    assert patience.given_s({"7E8", "7E9"}) == 0.4
    patience.answered("7E8", 0.35)
    assert patience.given_s({"7E8"}) == pytest.approx(0.7)
    assert patience.given_s({"7E9"}) == 0.2
    for _ in range(100):
        patience.answered("7E8", 0.01)
    assert patience.given_s({"7E8"}) == 0.2
    given = []
    for _ in range(5):
        patience.silent("7E9")
        given.append(patience.given_s({"7E9"}))
    assert given == [0.4, 0.8, 1.0, 0.2, 0.2]


@given(st.lists(st.one_of(st.none(), st.floats(0, 30)), max_size=50))
def test_patience_is_bounded(answers: list[float | None]) -> None:
    patience = Patience(0.2)
    for after_s in answers:
        if after_s is None:
            patience.silent("7E8")
        else:
            patience.answered("7E8", after_s)
        assert 0.2 <= patience.given_s({"7E8"}) <= 1.0


def test_when_there_is_no_time_for_all_none_is_starved() -> None:
    periods = {"fast": 0.1, "medium": 1.0, "slow": 30.0, "other": 1.0}
    plan = RatePlan(periods.items())
    done: Counter[str] = Counter()
    now = 0.0
    while now < 600:
        due = plan.due(now)
        if due:
            plan.done(due[0], now + 0.25)  # each read takes so long: all of them would take three times what there is
            done[due[0]] += 1
            now += 0.25
        else:
            now += 0.01
    shares = {key: done[key] * period_s / 600 for key, period_s in periods.items()}
    assert shares["slow"] > 0.5
    assert min(shares["medium"], shares["other"]) > 0.25
    assert done["fast"] > done["medium"]  # it still comes most often


class Time:
    """Passes by sleeping, and by what an answer takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def polite(tester: ScriptedTester, time: Time, limits: Limits | None = None) -> PoliteTester:
    return PoliteTester(tester, limits or Limits(), clock=time, sleep=time.sleep)


def test_requests_are_spread() -> None:
    time = Time()
    tester = polite(ScriptedTester({"7E8": lambda _: b"\x41\x0d\x32"}), time, Limits(requests_per_s=10))
    for _ in range(60):
        assert tester.functional(b"\x01\x0d", expected={"7E8"}).answers
    assert time.now == pytest.approx(5.0, abs=0.11)  # a second's worth at once, then ten each second


def test_long_answers_count_by_their_frames() -> None:
    time = Time()
    limits = Limits(requests_per_s=1000, bus_share=0.01, bit_rate=500_000)
    tester = polite(ScriptedTester({"7EC": lambda _: b"\x62\x01\x05" + bytes(200)}), time, limits)
    for _ in range(40):
        tester.physical(DEFAULT_ECUS[4], b"\x22\x01\x05")
    busy_s = 40 * (1 + frames_of(203)) * 135 / 500_000
    assert busy_s / (time.now + 1) == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("to_all", [True, False])
def test_one_that_asks_for_patience_and_then_is_busy_is_waited_for_no_longer_than_the_watchdog(to_all: bool) -> None:
    time = Time()

    def patient_and_busy(request: bytes) -> bytes:
        time.sleep(14)
        return bytes((0x7F, request[0], 0x21))

    tester = polite(ScriptedTester({"7E8": patient_and_busy}), time)
    if to_all:
        assert tester.functional(b"\x01\x0d", expected={"7E8"}).answers == {"7E8": b"\x7f\x01\x21"}
    else:
        with pytest.raises(AnswerError, match="busy"):
            tester.physical(DEFAULT_ECUS[0], b"\x22\x01\x05")
    assert time.now < 30


def test_a_connector_is_made_polite() -> None:
    scripted = ScriptedTester({"7E8": lambda _: b"\x41\x0d\x32"})
    tester = politely(lambda _addresses, _bits: scripted, Limits(requests_per_s=1000))((), 11)
    assert isinstance(tester, PoliteTester)
    assert tester.functional(b"\x01\x0d", expected={"7E8"}).answers
    tester.close()
    assert scripted.closed


def test_a_busy_ecu_is_asked_again_after_a_pause() -> None:
    time, busy = Time(), [b"\x7f\x01\x21"] * 2
    answers = {"7E8": lambda _: busy.pop() if busy else b"\x41\x0d\x32", "7E9": lambda _: b"\x41\x0d\x33"}
    scripted = ScriptedTester(answers)
    exchange = polite(scripted, time).functional(b"\x01\x0d", expected={"7E8", "7E9"})
    assert exchange.answers == {"7E8": b"\x41\x0d\x32", "7E9": b"\x41\x0d\x33"}
    assert len(scripted.asked) == 3
    assert time.now == pytest.approx(0.2)

    busy.extend([b"\x7f\x22\x21"] * 2)
    scripted.ecus["7E8"] = lambda _: busy.pop() if busy else b"\x62\xf1\x90"
    assert polite(scripted, time).physical(DEFAULT_ECUS[0], b"\x22\xf1\x90") == b"\x62\xf1\x90"


def test_an_ecu_that_is_always_busy_is_let_be() -> None:
    time = Time()
    scripted = ScriptedTester({"7E8": lambda request: bytes((0x7F, request[0], 0x21))})
    with pytest.raises(AnswerError, match="NRC 0x21"):
        polite(scripted, time).physical(DEFAULT_ECUS[0], b"\x22\xf1\x90")
    assert len(scripted.asked) == 4
    exchange = polite(scripted, time).functional(b"\x01\x0d", expected={"7E8"})
    assert exchange.answers == {"7E8": b"\x7f\x01\x21"}
    assert len(scripted.asked) == 8


def test_other_refusals_are_not_repeated() -> None:
    scripted = ScriptedTester({"7E8": lambda request: bytes((0x7F, request[0], 0x31))})
    with pytest.raises(AnswerError, match="NRC 0x31"):
        polite(scripted, Time()).physical(DEFAULT_ECUS[0], b"\x22\xf1\x90")
    assert len(scripted.asked) == 1


def test_a_silent_ecu_is_given_longer_the_next_time() -> None:
    scripted = ScriptedTester({})
    tester = polite(scripted, Time())
    given = []
    for _ in range(5):
        with pytest.raises(AnswerError):
            tester.physical(DEFAULT_ECUS[0], b"\x22\xf1\x90")
        given.append(scripted.timeout_s)
    assert given == [0.2, 0.4, 0.8, 1.0, 0.2]
    assert tester.unanswered == 5
    tester.unanswered = 0
    tester.timeout_s = 0.3
    assert (scripted.unanswered, scripted.timeout_s, tester.timeout_s) == (0, 0.3, 0.3)
    tester.close()
    assert scripted.closed


def test_one_thing_that_is_never_answered_slows_down_nothing_else() -> None:
    scripted = ScriptedTester({"7E8": lambda request: None if request == b"\x01\x0c" else b"\x41\x0d\x32"})
    tester = polite(scripted, Time())
    given = []
    for _ in range(6):
        tester.functional(b"\x01\x0c", expected={"7E8"})
        given.append(scripted.timeout_s)
        tester.functional(b"\x01\x0d", expected={"7E8"})
        assert scripted.timeout_s == 0.2
    assert given == [0.2, 0.4, 0.8, 1.0, 0.2, 0.2]


def test_a_car_that_is_slow_from_the_start_is_found() -> None:
    scripted = ScriptedTester({})
    slow = polite(scripted, Time())
    assert not slow.functional(b"\x01\x00", expected=None).answers
    scripted.ecus["7E8"] = lambda _: bytes.fromhex("410000180000")
    assert slow.functional(b"\x01\x00", expected=None).answers
    assert scripted.timeout_s == 0.4


def test_one_poll_does_not_take_for_ever_and_all_is_read_in_the_end() -> None:
    clock = Clock()

    def slow(request: bytes) -> bytes | None:
        clock.now += 0.3  # each takes so long
        data = {0x00: "0A3A0000", 0x05: "7B", 0x0C: "1AF8", 0x0D: "32", 0x0F: "5F", 0x0B: "64", 0x07: "80"}
        return bytes((0x41, request[1])) + bytes.fromhex(data[request[1]]) if len(request) == 2 else None

    pids = {0x05: 1.0, 0x0C: 1.0, 0x0D: 1.0, 0x0F: 60.0, 0x0B: 60.0, 0x07: 60.0}
    config = ObdConfig(pids=pids, read_vin=False, dtc_period_s=None, idle_wait_s=0.0)
    source = ObdSource(config, lambda: ScriptedTester({"7E8": slow, "7E9": slow}), clock=clock)
    source.open()
    counts: Counter[str] = Counter()
    for _ in range(60):
        before = clock.now
        reading = source.poll()
        assert reading is not None
        assert clock.now - before < 2.5
        counts.update(reading.values.keys())
    assert len(counts) == len(pids)


@pytest.mark.parametrize("limits", [Limits(requests_per_s=0.9), Limits(bus_share=0.009), Limits(bus_share=1.1)])
def test_limits_that_are_none(limits: Limits) -> None:
    with pytest.raises(ConfigurationError, match="limits"):
        ObdConfig(limits=limits)
