"""Asking through an ELM327: what it is told, what its replies come to. The process between is left out here."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from edge_agent.errors import SourceError
from edge_agent.obd.answers import AnswerError
from edge_agent.tester.base import IsoTpAddress
from edge_agent.tester.elm327 import Elm327Tester
from edge_agent.tester.elm327_process import AdapterProcess, AdapterStuckError, LateReplyError
from edge_agent.virtual_car.config import VirtualCarConfig
from edge_agent.virtual_car.disturb import Disturbance, Disturbances
from edge_agent.virtual_car.elm327 import VirtualElm327
from edge_agent.virtual_car.live import LiveCar
from edge_agent.virtual_car.responder import Responder
from tests.unit.edge_agent.obd_support import VIN

ENGINE = IsoTpAddress(transmit_id=0x7E0, receive_id=0x7E8)
ENGINE_29 = IsoTpAddress(transmit_id=0x18DA10F1, receive_id=0x18DAF110)
BRAKES = IsoTpAddress(transmit_id=0x760, receive_id=0x768)
PADS = {
    "did": 0x2B01,
    "request_id": BRAKES.transmit_id,
    "response_id": BRAKES.receive_id,
    "period_s": 1,
    "length": 30,  # five frames
    "signals": [{"path": "Vehicle.Chassis.Axle.Row1.Wheel.Left.Brake.PadWear", "scale": "100/255"}],
}
SPEED, ENGINE_SPEED = b"\x01\x0d", b"\x01\x0c"
ALL = frozenset({"7E8", "7E9"})


class Direct(AdapterProcess):
    """An adapter without a process and without waiting: time passes as it says."""

    def __init__(self, adapter: VirtualElm327) -> None:
        super().__init__("direct", None)
        self.adapter = adapter
        self.now = 100.0
        self.running = False
        self.starts = 0
        self.spoil: Callable[[str, str], str] = lambda _command, text: text

    @property
    def pid(self) -> int | None:
        return 1 if self.running else None

    def start(self, connect_s: float = 0.0) -> None:  # noqa: ARG002 - nothing here takes time
        self.running = True
        self.starts += 1
        for line in ("ATZ", "ATE0", "ATH1", "ATL0", "ATSP0"):  # python-OBD's way
            self.adapter.command(line)
        self.protocol = "" if "UNABLE" in self.adapter.command("0100").text else self.adapter.protocol

    def ask(self, command: str, silence_s: float, within_s: float) -> str:  # noqa: ARG002 - a reply comes at once
        written = self.adapter.command(command)
        if written.after_s > within_s:
            self.now += within_s
            raise LateReplyError("the adapter did not end its reply in time")
        self.now += written.after_s
        return self.spoil(command, written.text)

    def stop(self, *, at_once: bool = False) -> None:  # noqa: ARG002 - there is no process to wait for
        self.running = False


class Bench:
    """A car that stands still, its adapter and the tester."""

    def __init__(self, *, car: dict[str, Any] | None = None, timeout_s: float = 0.2, **adapter: Any) -> None:
        config = VirtualCarConfig.from_dict({"name": "test", "vin": VIN, "dids": [PADS]} | (car or {}))
        self.car = LiveCar(config, now=datetime(2026, 1, 31, tzinfo=UTC))
        self.disturbances = Disturbances()
        protocol = "6" if config.identifier_bits == 11 else "7"
        responder = Responder(self.car, self.disturbances)
        self.adapter = VirtualElm327(responder=responder, protocol=protocol, **adapter)
        self.direct = Direct(self.adapter)
        self.direct.start()
        self.tester = Elm327Tester(self.direct, timeout_s=timeout_s, clock=lambda: self.direct.now)
        self.adapter.commands.clear()

    def told(self) -> list[str]:
        """What the adapter was told since the last look."""
        told = list(self.adapter.commands)
        self.adapter.commands.clear()
        return told


def test_all_ecus_are_asked_and_the_answers_named_by_them() -> None:
    bench = Bench()
    assert bench.tester.functional(SPEED, expected=ALL).answers == {"7E8": b"\x41\x0d\x00", "7E9": b"\x41\x0d\x00"}
    vin = bench.tester.functional(b"\x09\x02", expected=None, enough=1)
    assert vin.answers == {"7E8": b"\x49\x02\x01" + VIN.encode()}
    assert bench.tester.unanswered == 0
    assert bench.tester.protocol == "6"


def test_settings_are_sent_once_and_the_known_number_of_frames_with_the_request() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    assert bench.told() == [
        *("ATE0", "ATL0", "ATS0", "ATH1", "ATCAF1", "ATTP6", "ATAT1", "ATST32", "ATCRA", "ATFCSM0", "ATSH7DF"),
        "010D",
    ]
    before = bench.direct.now
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.told() == ["010D2"]
    assert bench.direct.now == before  # it does not wait for more


def test_a_number_of_frames_that_is_wrong_hides_no_ecu() -> None:
    bench = Bench()
    codes = b"\x03"
    assert bench.tester.functional(codes, expected=ALL).answers == {"7E8": b"\x43\x00", "7E9": b"\x43\x00"}
    bench.told()
    bench.disturbances.set(Disturbance(kind="padded", ecu="7E8", size=8))  # two frames where there was one
    answers = bench.tester.functional(codes, expected=ALL).answers
    assert bench.told() == ["032", "03"]
    assert answers == {"7E8": b"\x43\x00" + b"\x55" * 8, "7E9": b"\x43\x00"}
    for _ in range(4):
        assert bench.tester.functional(codes, expected=ALL).answers == answers


def test_an_ecu_beside_obd_is_reached_with_flow_control_and_obd_again_afterwards() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    bench.told()
    answer = bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    assert len(answer) == 3 + 30
    assert bench.told() == ["ATSH760", "ATCRA768", "ATFCSH760", "ATFCSD300000", "ATFCSM1", "222B01"]
    assert bench.tester.physical(BRAKES, b"\x22\x2b\x01") == answer
    assert bench.told() == ["222B015"]
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.told() == ["ATCRA", "ATFCSM0", "ATSH7DF", "010D2"]
    assert bench.tester.physical(ENGINE, b"\x19\x02\xff")[:2] == b"\x59\x02"
    assert bench.told() == ["ATSH7E0", "1902FF"]


def test_29_bit_identifiers() -> None:
    bench = Bench(car={"identifier_bits": 29, "dids": []})
    answers = bench.tester.functional(SPEED, expected=None).answers
    assert answers
    assert all(name.startswith("18DAF1") for name in answers)
    assert bench.tester.functional(b"\x09\x02", expected=None).answers["18DAF110"][3:] == VIN.encode()
    assert bench.tester.physical(ENGINE_29, b"\x19\x02\xff")[:2] == b"\x59\x02"
    assert {"ATCP18", "ATSHDB33F1", "ATSHDA10F1"} <= set(bench.told())


def test_an_ecu_with_identifiers_of_the_other_length_is_asked_by_the_other_protocol() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    bench.told()
    with pytest.raises(AnswerError, match="CAN ERROR"):  # this car has none
        bench.tester.physical(IsoTpAddress(transmit_id=0x17FC0076, receive_id=0x17FE0076), b"\x22\x02\x8c")
    assert bench.told() == [
        *("ATTP7", "ATCP17", "ATSHFC0076", "ATCRA17FE0076", "ATFCSH17FC0076", "ATFCSD300000", "ATFCSM1"),
        "22028C",
    ]
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert bench.told() == ["ATTP6", "ATCRA", "ATFCSM0", "ATSH7DF", "010D2"]


@pytest.mark.parametrize("lacks", [{"ATS0"}, {"ATCAF1"}, {"ATAT."}, {"ATL0"}, {"ATFCSM0"}, {"ATCRA"}])
def test_what_an_adapter_lacks_is_done_without(lacks: set[str]) -> None:
    bench = Bench(lacks=frozenset(lacks))
    for _ in range(2):
        assert len(bench.tester.physical(BRAKES, b"\x22\x2b\x01")) == 33
        assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert len(bench.tester.lacking) == 1


def test_without_flow_control_a_long_answer_is_truncated_and_no_value() -> None:
    bench = Bench(lacks=frozenset({"ATFC.*"}))
    with pytest.raises(AnswerError, match="truncated answer of 768: 6 of 33 bytes"):
        bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL
    assert "ATFCSH" in bench.tester.lacking


def test_an_adapter_without_receive_addresses_cannot_reach_other_ecus() -> None:
    bench = Bench(lacks=frozenset({"ATCRA.+"}))
    with pytest.raises(AnswerError, match="cannot reach the ECU: it does not know ATCRA768"):
        bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL


def test_a_negative_answer_says_its_code() -> None:
    bench = Bench()
    with pytest.raises(AnswerError, match="NRC 0x31"):
        bench.tester.physical(ENGINE, b"\x22\xff\xff")
    bench.disturbances.set(Disturbance(kind="negative", code=0x22))
    assert bench.tester.functional(ENGINE_SPEED, expected={"7E8"}).answers == {"7E8": b"\x7f\x01\x22"}
    assert bench.tester.unanswered == 0


@pytest.mark.parametrize(("size", "delay_s"), [(1, 0.1), (1, 0.6), (3, 0.9)])
def test_an_ecu_that_asks_for_patience_gets_it(size: int, delay_s: float) -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="pending", size=size, delay_s=delay_s))
    assert len(bench.tester.physical(BRAKES, b"\x22\x2b\x01")) == 33
    assert bench.tester.functional(SPEED, expected=ALL).answers.keys() == ALL


@pytest.mark.parametrize("delay_s", [0.5, 1.5])
def test_patience_has_an_end(delay_s: float) -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="pending", size=1000, delay_s=delay_s))
    before = bench.direct.now
    with pytest.raises(AnswerError, match=r"asked for patience|did not end its reply"):
        bench.tester.physical(BRAKES, b"\x22\x2b\x01")
    exchange = bench.tester.functional(SPEED, expected=ALL)
    assert exchange.answers == {}
    assert exchange.trouble is not None
    assert bench.direct.now - before < 60


def test_what_changes_the_car_is_never_asked_twice() -> None:
    bench = Bench()
    bench.tester.functional(SPEED, expected=ALL)
    bench.told()
    bench.disturbances.set(Disturbance(kind="pending", size=1, delay_s=5.0))
    exchange = bench.tester.functional(b"\x04", expected=ALL)
    assert exchange.answers == {}
    assert exchange.trouble == "asked for patience (NRC 0x78) and gave no answer"
    with pytest.raises(AnswerError, match="asked for patience"):
        bench.tester.physical(ENGINE, b"\x14\xff\xff\xff")
    assert bench.told().count("04") == 1


def test_a_slow_ecu_is_missed_and_its_late_answer_is_not_taken_for_another() -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="stale", ecu="7E8"))
    bench.tester.functional(ENGINE_SPEED, expected={"7E8"})
    exchange = bench.tester.functional(SPEED, expected={"7E8"})
    assert "7E8" not in exchange.answers
    assert exchange.foreign is not None


def test_an_answer_of_another_ecu_is_not_this_ones() -> None:
    bench = Bench()
    bench.disturbances.set(Disturbance(kind="wrong_ecu", as_ecu="7EF"))
    with pytest.raises(AnswerError, match="no answer"):
        bench.tester.physical(ENGINE, b"\x19\x02\xff")


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


def test_voltage_and_name_are_the_adapters_own() -> None:
    bench = Bench(voltage=lambda: 11.8, version="ELM327 v1.5")
    assert bench.tester.supply_voltage() == 11.8
    assert bench.tester.identity() == "ELM327 v1.5"
    assert bench.told() == ["ATRV", "ATI"]
    with pytest.raises(AnswerError, match="does not measure the voltage"):
        Bench(lacks=frozenset({"ATRV"})).tester.supply_voltage()


def test_a_request_of_several_frames_does_not_fit() -> None:
    bench = Bench()
    with pytest.raises(AnswerError, match="8 bytes: an ELM327 sends up to 7"):
        bench.tester.physical(ENGINE, bytes(8))
    assert bench.tester.functional(b"", expected=None).trouble is not None


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
