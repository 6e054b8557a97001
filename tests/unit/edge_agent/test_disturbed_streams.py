"""Frames and characters on their way from a car are lost, doubled, swapped and cut: no value comes of it but the car's.

On CAN whole frames suffer, as a checksum guards what is in them. On the line to an ELM327 nothing does: there a digit
that turns into another one cannot be seen (docs/decisions.md), everything else can.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import can
import pytest

from edge_agent.can_bus import CanBusConfig
from edge_agent.isotp_link import IsoTpLink
from edge_agent.obd import service01
from edge_agent.obd.did import DidDefinition, DidSignal
from edge_agent.obd.pids import PIDS
from edge_agent.sources.obd import ObdConfig, ObdSource
from edge_agent.tester import base
from edge_agent.tester.can import CanTester
from edge_agent.tester.elm327 import Elm327Tester
from edge_agent.tester.elm327_process import AdapterProcess
from edge_agent.tester.limits import Limits
from edge_agent.virtual_car.encode import bitmap
from tests.unit.edge_agent.obd_support import VIN, Clock

SOH = "Vehicle.Powertrain.TractionBattery.StateOfHealth"
KONA = DidDefinition(
    did=0x0105,
    request_id=0x7E4,
    response_id=0x7EC,
    period_s=1,
    signals=(DidSignal(did=0x0105, path=SOH, bit_offset=200, bit_length=16, scale=Fraction(1, 10)),),
)
HAVING = {
    0x7E8: frozenset({0x01, 0x0C, 0x0D, 0x05, 0x42, 0x2F, 0x33, 0x31}),
    0x7E9: frozenset({0x0C, 0x0D, 0x46, 0x9D}),
}
DATA = {0x01: "81000000", 0x0C: "1AF8", 0x0D: "32", 0x05: "7B", 0x42: "3A9C", 0x2F: "80", 0x33: "65", 0x31: "2E25"} | {
    0x46: "3D",
    0x9D: "1F201F21",
}
CODES = {"P0301", "P0133", "P0420", "U0100", "P0171"}
SAID = {
    (0x7E8, "03"): "4305030101330420C1000171",
    (0x7E8, "07"): "47010171",
    (0x7E8, "0A"): "4A010301",
    (0x7E8, "0902"): "490201" + VIN.encode().hex(),
    (0x7E9, "03"): "4300",
    (0x7E9, "07"): "4700",
    (0x7E9, "0A"): "4A00",
    (0x7EC, "220105"): "620105" + bytes(range(1, 26)).hex() + "03D9" + bytes(range(28, 47)).hex(),
}
TRUTH: dict[str, float] = {SOH: 98.5}
for _pids in HAVING.values():
    for _pid in sorted(_pids):
        for _path, _value in service01.decode_data(_pid, bytes.fromhex(DATA[_pid]), "").values.items():
            TRUTH.setdefault(_path, _value)


def answer(ecu: int, request: bytes) -> bytes | None:
    said = SAID.get((ecu, request.hex().upper()))
    if said is not None:
        return bytes.fromhex(said)
    own = HAVING.get(ecu)
    if own is None or request[0] != 0x01:
        return None
    parts = b""
    for pid in request[1:]:
        if pid % 0x20 == 0:
            parts += bytes((pid,)) + bitmap(own, pid) if pid == 0 or any(other > pid for other in own) else b""
        elif pid in own:
            parts += bytes((pid,)) + bytes.fromhex(DATA[pid])
    return b"\x41" + parts if parts else None


def frames_of(payload: bytes) -> list[bytes]:
    if len(payload) <= 7:
        return [bytes((len(payload),)) + payload.ljust(7, b"\x55")]
    rest = [payload[at : at + 7].ljust(7, b"\x55") for at in range(6, len(payload), 7)]
    first = (0x1000 | len(payload)).to_bytes(2) + payload[:6]
    return [first, *(bytes((0x20 | number % 16,)) + data for number, data in enumerate(rest, start=1))]


def asked(transmit_id: int) -> list[int]:
    return [0x7E8, 0x7E9, 0x7EC] if transmit_id == 0x7DF else [transmit_id + 8]


class DisturbedBus(can.BusABC):
    """Answers of the car, one in eight of them disturbed. A bus without waiting: what is there is there."""

    def __init__(self, random: Random, clock: Clock) -> None:
        super().__init__(channel="disturbed")
        self._random = random
        self._clock = clock
        self._arriving: deque[tuple[int, bytes]] = deque()
        self._late: list[tuple[int, bytes]] = []

    def send(self, msg: can.Message, timeout: float | None = None) -> None:  # noqa: ARG002 - python-can's signature
        if msg.data[0] >> 4 == 3:
            return  # flow control; all frames come at once
        self._arriving.extend(self._late)
        self._late.clear()
        request = bytes(msg.data[1 : 1 + msg.data[0]])
        for ecu in asked(msg.arbitration_id):
            payload = answer(ecu, request)
            if payload is not None:
                self._disturb(ecu, frames_of(payload), request[0])

    def _disturb(self, ecu: int, frames: list[bytes], service: int) -> None:
        random, at = self._random, self._random.randrange(len(frames))
        kind = random.choice(("lost", "doubled", "swapped", "cut", "late", "foreign", "refused"))
        if random.random() > 1 / 8:
            kind = ""
        if kind == "lost":
            del frames[at]
        elif kind == "doubled":
            frames.insert(at, frames[at])
        elif kind == "swapped":
            other = random.randrange(len(frames))
            frames[at], frames[other] = frames[other], frames[at]
        elif kind == "cut":
            frames[at] = frames[at][: random.randrange(8)]
        elif kind == "refused":
            frames = [bytes((3, 0x7F, service, random.choice((0x11, 0x12, 0x22, 0x31))))]
        sender = 0x7EF if kind == "foreign" else ecu
        (self._late if kind == "late" else self._arriving).extend((sender, data) for data in frames)

    def recv(self, timeout: float | None = None) -> can.Message | None:
        if not self._arriving:
            self._clock.now += timeout or 0.0
            return None
        sender, data = self._arriving.popleft()
        return can.Message(arbitration_id=sender, data=data, is_extended_id=False)


class DisturbedAdapter(AdapterProcess):
    """An ELM327 whose replies lose, gain or change places, one in eight of them."""

    def __init__(self, random: Random) -> None:
        super().__init__("disturbed", None)
        self.protocol = "6"
        self._random = random
        self._header = 0x7DF

    @property
    def pid(self) -> int:
        return 1

    def start(self, connect_s: float = 0.0) -> None:
        """It has not stopped."""

    def stop(self, *, at_once: bool = False) -> None:
        """There is nothing to stop."""

    def ask(self, command: str, silence_s: float, within_s: float) -> str:  # noqa: ARG002 - a reply comes at once
        if command.startswith("AT"):
            if command.startswith("ATSH"):
                self._header = int(command[4:], 16)
            return "OK\r\r>"
        count, digits = (int(command[-1], 16), command[:-1]) if len(command) % 2 else (None, command)
        lines = [
            f"{ecu:03X}{frame.hex().upper()}"
            for ecu in asked(self._header)
            for frame in frames_of(answer(ecu, bytes.fromhex(digits)) or b"")
            if answer(ecu, bytes.fromhex(digits)) is not None
        ]
        text = "\r".join(lines[:count] or ["NO DATA"]) + "\r\r"
        return (self._disturbed(text) if self._random.random() < 1 / 8 else text) + ">"

    def _disturbed(self, text: str) -> str:
        random, at = self._random, self._random.randrange(len(text))
        lines = text.split("\r")
        one, other = random.randrange(len(lines)), random.randrange(len(lines))
        kind = random.choice(
            ("lost", "two lost", "gained", "tail", "head", "line lost", "line doubled", "swapped", "said")
        )
        said = random.choice(
            ("\rSTOPPED\r", "CAN ERROR", "\rBUFFER FULL\r", "NO DATA", "?", "<RX ERROR", "\0", "LV RESET")
        )
        if kind == "line lost":
            del lines[one]
        elif kind == "line doubled":
            lines.insert(other, lines[one])
        elif kind == "swapped":
            lines[one], lines[other] = lines[other], lines[one]
        else:
            return {
                "lost": text[:at] + text[at + 1 :],
                "two lost": text[:at] + text[at + 2 :],
                "gained": text[:at] + random.choice("0123456789ABCDEF \r?<") + text[at:],
                "tail": text[at:],
                "head": text[:at],
                "said": text[:at] + said + text[at:],
            }[kind]
        return "\r".join(lines)


def can_tester(random: Random, config: ObdConfig, clock: Clock) -> base.Tester:
    bus = DisturbedBus(random, clock)
    link = IsoTpLink(bus, config.addresses, learn=True, clock=clock)
    where = CanBusConfig(interface="virtual", channel="disturbed")
    return CanTester(bus, link, config=where, functional_id=0x7DF, timeout_s=0.2, clock=clock)


def elm327_tester(random: Random, _config: ObdConfig, clock: Clock) -> base.Tester:
    return Elm327Tester(DisturbedAdapter(random), timeout_s=0.2, clock=clock)


@dataclass(kw_only=True)
class Seen:
    values: set[str]
    codes: int = 0
    vins: int = 0


@pytest.mark.parametrize("connect", [can_tester, elm327_tester])
@pytest.mark.parametrize("seed", [24, 31, 40, *range(8)])
def test_what_is_read_is_what_the_car_has(
    connect: Callable[[Random, ObdConfig, Clock], base.Tester], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    random, clock, seen = Random(seed), Clock(), Seen(values=set())
    config = ObdConfig(
        limits=Limits(requests_per_s=1e6, bus_share=1.0, bit_rate=10**9),
        pids=dict.fromkeys(PIDS, 1.0),
        dids=(KONA,),
        dtc_period_s=1.0,
        idle_wait_s=0.0,
        rediscovery_period_s=5.0,
        longest_poll_s=1e9,
    )
    source = ObdSource(config, lambda: connect(random, config, clock), clock=clock)
    source.open()
    for _ in range(10):
        clock.now += 90_000  # the VIN too is due again
        reading = source.poll()
        assert reading is not None
        assert {path: TRUTH[path] for path in reading.values} == dict(reading.values)
        assert reading.vin in {None, VIN}
        codes = {code.code for code in reading.trouble_codes or ()}
        assert codes <= CODES
        if reading.trouble_codes is not None and "7E8" in (reading.ecus_read or ()):
            assert codes == CODES
            seen.codes += 1
        seen.vins += reading.vin is not None
        seen.values |= reading.values.keys()
    source.close()
    assert seen.values == TRUTH.keys()
    assert seen.codes
    assert seen.vins
