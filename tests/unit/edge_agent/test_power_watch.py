"""Looking at a parked car: sensors that lie, an adapter that is silent, a bus that is only ever listened to."""

import logging
from pathlib import Path

import can
import pytest

from edge_agent.can_bus import CanBusConfig
from edge_agent.power.controller import CommandController, run_command
from edge_agent.power.watch import CarWatch, Elm327Voltmeter, FileVoltmeter, IgnitionLine


class Adapter:
    """An ELM327's serial port: answers by the script, and notes what was written."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes, /) -> int:
        self.written.append(data)
        return len(data)

    def read_until(self, expected: bytes, /) -> bytes:
        assert expected == b">"  # its prompt
        if not self.answers:
            raise OSError("unplugged")
        return self.answers.pop(0)

    def reset_input_buffer(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("text", "volts"),
    [("1263\n", 12.63), ("0", None), ("99999", None), ("", None), ("twelve", None), ("nan", None)],
)
def test_a_file_gives_a_voltage_or_nothing(tmp_path: Path, text: str, volts: float | None) -> None:
    path = tmp_path / "in_voltage0_raw"
    path.write_text(text, encoding="ascii")
    assert FileVoltmeter(path=path, scale=0.01).read() == volts


def test_a_file_that_is_not_there_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    voltmeter = FileVoltmeter(path=tmp_path / "none")
    assert [voltmeter.read(), voltmeter.read()] == [None, None]
    assert len(caplog.records) == 1


def test_an_adapter_is_asked_for_its_own_voltage_and_for_nothing_else() -> None:
    adapter, clock = Adapter(b"?\r\r>", b"12.4V\r\r>", b"12.5V\r\r>"), Clock()
    voltmeter = Elm327Voltmeter(lambda: adapter, monotonic=clock)
    assert voltmeter.read() == 12.4
    assert voltmeter.read() is None  # not again within five seconds
    clock.wait(6)
    assert voltmeter.read() == 12.5
    assert set(adapter.written) == {b"\r", b"ATRV\r"}  # neither reaches the car
    voltmeter.close()
    assert adapter.closed


@pytest.mark.parametrize("answer", [b"", b"?\r>", b"ERR94\r>", b"0.0V\r>", b"NO DATA\r>"])
def test_an_adapter_that_gives_no_voltage_gives_none(answer: bytes) -> None:
    adapter = Adapter(b">", answer)
    assert Elm327Voltmeter(lambda: adapter, monotonic=Clock()).read() is None


def test_an_adapter_that_is_pulled_is_looked_for_again_later() -> None:
    adapters, clock = [Adapter(b">", b"12.4V\r>"), Adapter(b">", b"12.6V\r>")], Clock()
    voltmeter = Elm327Voltmeter(lambda: adapters[0], monotonic=clock)
    assert voltmeter.read() == 12.4
    clock.wait(6)
    assert voltmeter.read() is None
    assert adapters.pop(0).closed
    clock.wait(10)
    assert voltmeter.read() is None
    clock.wait(30)
    assert voltmeter.read() == 12.6


def test_an_ignition_line_is_on_off_or_unknown(tmp_path: Path) -> None:
    path = tmp_path / "value"
    line = IgnitionLine(path=path)
    assert line.read() is None
    path.write_text("1\n", encoding="ascii")
    assert line.read() is True
    path.write_text("0\n", encoding="ascii")
    assert line.read() is False


def test_frames_are_counted_and_none_is_sent() -> None:
    clock = Clock()
    watch = CarWatch(bus=lambda: CanBusConfig(interface="virtual", channel="parked"), wait=clock.wait)
    with can.Bus(interface="virtual", channel="parked") as car:
        assert watch.look(0.01).frames == 0
        for _ in range(3):
            car.send(can.Message(arbitration_id=0x3E9, is_extended_id=False))
        assert watch.look(0.05).frames == 3
        assert car.recv(0) is None
        watch.close()
        watch.close()


def test_a_bus_that_cannot_be_opened_leaves_the_other_senses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "volts"
    path.write_text("12.6", encoding="ascii")
    clock = Clock()
    watch = CarWatch(
        bus=lambda: CanBusConfig(interface="socketcan", channel="nowhere9"),
        voltmeter=FileVoltmeter(path=path),
        wait=clock.wait,
        monotonic=clock,
    )
    with caplog.at_level(logging.WARNING, logger="edge_agent.power.watch"):
        seen = [watch.look(1.0) for _ in range(20)]
    assert {(glance.frames, glance.voltage) for glance in seen} == {(None, 12.6)}
    assert len([record for record in caplog.records if record.name == "edge_agent.power.watch"]) == 1
    assert clock.seconds == 20


# What cuts the power


@pytest.mark.parametrize(("wake_in_s", "word"), [(86_399.6, "86400"), (None, "0"), (0.2, "1")])
def test_the_command_is_told_when_the_power_is_wanted_back(wake_in_s: float | None, word: str) -> None:
    ran: list[tuple[str, ...]] = []

    def run(command: object) -> None:
        assert isinstance(command, list)
        ran.append(tuple(command))

    assert CommandController(("hat", "off", "{wake_in_s}"), run=run).cut(wake_in_s)
    assert ran == [("hat", "off", word)]


def test_a_command_that_fails_is_told_with_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    assert not CommandController(("hat",), run=lambda _command: "exit status 1: Access denied").cut(None)
    assert "may the agent's user run it?" in caplog.text


def test_commands_are_really_run(tmp_path: Path) -> None:
    assert run_command(["touch", str(tmp_path / "cut")]) is None
    assert (tmp_path / "cut").exists()
    assert run_command(["false"]) == "exit status 1: "
    assert "No such file" in (run_command(["/nowhere/hat"]) or "")
