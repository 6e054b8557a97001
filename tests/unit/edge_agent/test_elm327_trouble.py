"""An ELM327 that restarts, loses bytes, hangs or finds no car: what the tester makes of it, and how it goes on."""

import pytest

from edge_agent.errors import SourceError
from edge_agent.obd.answers import AnswerError
from edge_agent.tester.elm327_process import AdapterStuckError
from edge_agent.virtual_car.disturb import Disturbance
from tests.unit.edge_agent.elm327_bench import ALL, ENGINE, ENGINE_SPEED, SPEED, Bench
from tests.unit.edge_agent.obd_support import VIN


@pytest.mark.parametrize(
    ("text", "reason", "unanswered"),
    [
        ("NO DATA", "NO DATA", 1),
        ("CAN ERROR", "CAN ERROR", 1),
        ("BUFFER FULL", "BUFFER FULL", 0),
        ("?", "does not understand", 0),
        ("STOPPED", "STOPPED", 0),
    ],
)
def test_the_adapters_words_become_reasons(text: str, reason: str, unanswered: int) -> None:
    bench = Bench()
    bench.direct.spoil = lambda command, reply: reply if command.startswith("AT") else f"{text}\r\r>"
    exchange = bench.tester.functional(b"\x03", expected=ALL)
    assert exchange.answers == {}
    assert reason in exchange.reason(0.2)
    assert bench.tester.unanswered == unanswered
    with pytest.raises(AnswerError, match=reason.replace("?", r"\?")):
        bench.tester.physical(ENGINE, b"\x19\x02\xff")


def test_an_adapter_that_started_anew_is_set_up_again() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    for spoil in (
        lambda _command, text: text[:5] + bench.adapter.banner(),  # in the middle of a reply
        lambda _command, text: bench.adapter.banner() + "\x1e" + text,  # while nobody asked
        lambda command, text: f"{command}\r{text}",  # its echo is on again
        lambda _command, _text: "41 0D 00 \r\r>",  # headers are off
        lambda _command, _text: "LV RESET\r\r>",
    ):
        bench.direct.spoil = spoil
        exchange = bench.tester.functional(SPEED, expected=ALL)
        assert exchange.answers == {}
        assert exchange.trouble is not None
        bench.direct.spoil = lambda _command, text: text
        bench.told()
        assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
        assert bench.told()[:2] == ["ATE0", "ATL0"]
    assert bench.direct.starts == 1


def test_a_process_that_was_ended_is_started_again_once() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)

    def stuck(_command: str, _text: str) -> str:
        bench.direct.running = False
        raise AdapterStuckError("no prompt")

    bench.direct.spoil = stuck
    assert bench.tester.functional(SPEED, expected=ALL).trouble == "no prompt"
    bench.direct.spoil = lambda _command, text: text
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.direct.starts == 2
    bench.direct.spoil = stuck
    assert bench.tester.functional(SPEED, expected=ALL).trouble == "no prompt"
    assert bench.tester.functional(SPEED, expected=ALL).trouble == "no prompt"
    with pytest.raises(SourceError, match="no usable reply") as caught:
        bench.tester.functional(SPEED, expected=ALL)
    assert caught.value.returned is not None


def test_a_byte_lost_on_the_link_is_noticed() -> None:
    bench = Bench()
    for _ in range(8):
        bench.tester.functional(ENGINE_SPEED, expected={"7E8"})
    bench.direct.spoil = lambda command, text: text if command.startswith("AT") else text.replace("0C", "", 1)
    exchange = bench.tester.functional(ENGINE_SPEED, expected={"7E8"})
    assert exchange.answers == {}
    bench.direct.spoil = lambda command, text: text if command.startswith("AT") else text[:11] + text[13:]
    exchange = bench.tester.functional(ENGINE_SPEED, expected={"7E8"})
    assert exchange.answers == {}
    assert exchange.trouble == "bytes of a frame of 7E8 were lost between the adapter and here"


def test_a_car_that_is_off_is_looked_for_now_and_then() -> None:
    bench = Bench(car={"activity": "parked"})
    assert bench.tester.protocol == ""
    exchange = bench.tester.functional(SPEED, expected=None)
    assert exchange.trouble is not None
    assert "is the ignition on" in exchange.trouble
    assert bench.tester.supply_voltage() == 12.6
    bench.told()
    with pytest.raises(AnswerError, match="not asked: the adapter found no car, and looks again in 10 s"):
        bench.tester.physical(ENGINE, b"\x19\x02\xff")
    assert bench.told() == []  # nothing went to the car
    bench.adapter.responder = Bench().adapter.responder  # ignition on
    bench.direct.now += 10
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.tester.protocol == "6"


def test_an_adapter_that_is_moved_to_another_car_finds_its_protocol() -> None:
    bench = Bench()
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    other = Bench(car={"identifier_bits": 29, "dids": []}).adapter
    bench.adapter.responder, bench.adapter.protocol = other.responder, other.protocol
    silences = 0
    while not (answers := bench.tester.functional(SPEED, expected=None).answers):
        silences += 1
        assert silences < 12
    assert all(name.startswith("18DAF1") for name in answers)
    assert bench.tester.protocol == "7"
    assert bench.tester.functional(b"\x09\x02", expected=None).answers["18DAF110"][3:] == VIN.encode()


def test_a_car_that_sleeps_is_seldom_searched_for_and_keeps_its_protocol() -> None:
    bench = Bench()
    awake = bench.adapter.responder
    bench.tester.functional(SPEED, expected=ALL)
    bench.adapter.responder = Bench(car={"activity": "parked"}).adapter.responder
    bench.told()
    for _ in range(30):
        assert bench.tester.functional(SPEED, expected=ALL).answers == {}
        bench.direct.now += 9.0
    assert bench.told().count("ATTP0") == 1
    bench.adapter.responder = awake
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.tester.protocol == "6"


def test_a_closed_tester_says_so() -> None:
    bench = Bench()
    bench.tester.close()
    bench.tester.close()
    with pytest.raises(SourceError, match="was closed"):
        bench.tester.functional(SPEED, expected=ALL)


def test_an_identifier_that_was_misread_is_no_ecu() -> None:
    """Found once, an ECU is expected to answer for as long as the adapter stays."""
    bench = Bench()
    bench.direct.spoil = lambda command, text: text.replace("7E9", "749") if command == "0100" else text
    exchange = bench.tester.functional(b"\x01\x00", expected=None)
    assert exchange.answers.keys() == {"7E8"}
    assert exchange.foreign is not None


def test_a_slow_ecu_is_missed_and_its_late_answer_is_not_taken_for_another() -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="stale", ecu="7E8"))
    bench.tester.functional(ENGINE_SPEED, expected={"7E8"})
    exchange = bench.tester.functional(SPEED, expected={"7E8"})
    assert "7E8" not in exchange.answers
    assert exchange.foreign is not None
