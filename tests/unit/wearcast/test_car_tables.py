"""How values are shown: names that tell signals apart, numbers in full, and all columns within a small terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge_agent.diagnose.trace import Trace
from telemetry.catalogue import catalogue
from wearcast.car_tables import live_table, number, short_names
from wearcast.output import printable

ODOMETER = "Vehicle.TraveledDistance"
COOLANT = "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature"


def shown(trace: Trace, faults: dict[str, str] | None = None, *, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(live_table(trace.rows(20.0), faults))
    return out.getvalue()


def test_every_column_is_seen_in_80_columns() -> None:
    trace = Trace()
    for second in range(20):
        trace.add({ODOMETER: 42_000_100.0 + second, COOLANT: 80.5 + second}, float(second))
    lines = shown(trace).splitlines()
    assert max(map(len, lines)) <= 80
    odometer = next(line for line in lines if ODOMETER in line)
    assert odometer.split()[1:3] == ["42000119", "m"], "no exponent, and never without its unit"
    assert odometer.split()[-3:] == ["42000119", "1", "s"]
    assert "█" in odometer
    assert "EngineCoolant.Temperature" in shown(trace)
    assert "°C" in shown(trace)


def test_what_is_not_read_is_told_whole_and_bounded() -> None:
    faults = {f"service 01 PID {pid:02X}": "NRC 0x22 (conditions not correct)" for pid in range(20)}
    text = shown(Trace(), faults)
    assert "not read: service 01 PID 00: NRC 0x22 (conditions not correct)" in text
    assert "12 more" in text


def test_names_are_as_short_as_tells_them_apart() -> None:
    wheel = "Vehicle.Chassis.Axle.Row1.Wheel.{}.Tire.Pressure"
    names = short_names(["Vehicle.Speed", "Vehicle.Powertrain.CombustionEngine.Speed", *map(wheel.format, "LR")])
    assert names["Vehicle.Speed"] == "Vehicle.Speed"
    assert names["Vehicle.Powertrain.CombustionEngine.Speed"] == "CombustionEngine.Speed"
    assert [names[wheel.format(side)] for side in "LR"] == ["L.Tire.Pressure", "R.Tire.Pressure"]


@given(st.sets(st.sampled_from([signal.path for signal in catalogue()]), min_size=1))
def test_no_two_signals_share_a_name(paths: set[str]) -> None:
    assert len(set(short_names(paths).values())) == len(paths)


@pytest.mark.parametrize(
    ("value", "text"),
    [(42_000_100.0, "42000100"), (14.19, "14.19"), (0.0, "0"), (99_999.0, "99999"), (-3.125, "-3.125")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_what_a_device_says_is_shown_and_not_obeyed() -> None:
    assert printable("gone\x1b[2J\r\x07 失火\n") == "gone\ufffd[2J\ufffd\ufffd 失火\n"
