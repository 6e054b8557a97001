import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.obd import service01
from edge_agent.obd.answers import AnswerError, Decoded
from edge_agent.obd.pids import PIDS
from telemetry.catalogue import catalogue

ENGINE = "Vehicle.Powertrain.CombustionEngine"

# SAE J1979-DA: data bytes -> value, the ends of each range and values in between.
EXAMPLES: list[tuple[int, str, str, float]] = [
    (0x01, "8107E500", "Vehicle.OBD.Status.IsMILOn", 1),
    (0x01, "8107E500", "Vehicle.Diagnostics.DTCCount", 1),
    (0x01, "0007E500", "Vehicle.OBD.Status.IsMILOn", 0),
    (0x01, "7F07E500", "Vehicle.Diagnostics.DTCCount", 127),
    (0x04, "FF", "Vehicle.OBD.EngineLoad", 100),
    (0x04, "33", "Vehicle.OBD.EngineLoad", 20),
    (0x05, "00", f"{ENGINE}.EngineCoolant.Temperature", -40),
    (0x05, "7B", f"{ENGINE}.EngineCoolant.Temperature", 83),
    (0x06, "80", "Vehicle.OBD.ShortTermFuelTrim1", 0),
    (0x06, "00", "Vehicle.OBD.ShortTermFuelTrim1", -100),
    (0x07, "79", "Vehicle.OBD.LongTermFuelTrim1", -5.46875),
    (0x0B, "65", "Vehicle.OBD.MAP", 101),
    (0x0C, "1AF8", f"{ENGINE}.Speed", 1726),
    (0x0C, "FFFF", f"{ENGINE}.Speed", 16383.75),
    (0x0D, "FF", "Vehicle.Speed", 255),
    (0x0E, "8A", "Vehicle.OBD.TimingAdvance", 5),
    (0x0E, "00", "Vehicle.OBD.TimingAdvance", -64),
    (0x0F, "5F", "Vehicle.OBD.IntakeTemp", 55),
    (0x10, "FFFF", "Vehicle.OBD.MAF", 655.35),
    (0x11, "2D", "Vehicle.OBD.ThrottlePosition", 17.647058823529413),
    (0x1F, "0E10", "Vehicle.OBD.RunTime", 3600),
    (0x21, "0100", "Vehicle.OBD.DistanceWithMIL", 256),
    (0x2E, "00", "Vehicle.OBD.CommandedEVAP", 0),
    (0x2F, "FF", "Vehicle.OBD.FuelLevel", 100),
    (0x30, "FF", "Vehicle.OBD.WarmupsSinceDTCClear", 255),
    (0x31, "2710", "Vehicle.OBD.DistanceSinceDTCClear", 10000),
    (0x33, "64", "Vehicle.OBD.BarometricPressure", 100),
    (0x3C, "12A9", "Vehicle.OBD.Catalyst.Bank1.Temperature1", 437.7),
    (0x3E, "0000", "Vehicle.OBD.Catalyst.Bank1.Temperature2", -40),
    (0x42, "3010", "Vehicle.OBD.ControlModuleVoltage", 12.304),
    (0x44, "8000", "Vehicle.OBD.CommandedEquivalenceRatio", 1),
    (0x45, "FF", "Vehicle.OBD.RelativeThrottlePosition", 100),
    (0x46, "3C", "Vehicle.Exterior.AirTemperature", 20),
    (0x47, "7E", "Vehicle.OBD.ThrottlePositionB", 49.411764705882355),
    (0x49, "29", "Vehicle.OBD.AcceleratorPositionD", 16.07843137254902),
    (0x4A, "51", "Vehicle.OBD.AcceleratorPositionE", 31.764705882352942),
    (0x4C, "2D", "Vehicle.OBD.ThrottleActuator", 17.647058823529413),
    (0x4D, "003C", "Vehicle.OBD.RunTimeMIL", 60),
    (0x4E, "2160", "Vehicle.OBD.TimeSinceDTCCleared", 8544),
    (0x5B, "CC", "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current", 80),
    (0x5C, "82", f"{ENGINE}.EngineOil.Temperature", 90),
    (0x9D, "00640065", "Vehicle.OBD.EngineFuelRate", 2),
    (0xA6, "000F4240", "Vehicle.TraveledDistance", 100_000_000),  # 100,000.0 km in metres
    (0xB2, "F0", "Vehicle.Powertrain.TractionBattery.StateOfHealth", 94.11764705882354),
    (0xD2, "01CC80", "Vehicle.Powertrain.TractionBattery.StateOfHealth", 80),  # certified energy; the range is not read
]


@pytest.mark.parametrize(
    ("pid", "data", "path", "value"), EXAMPLES, ids=lambda v: f"{v:02X}" if isinstance(v, int) else None
)
def test_value_is_that_of_the_standard(pid: int, data: str, path: str, value: float) -> None:
    decoded = service01.decode(pid, bytes((0x41, pid)) + bytes.fromhex(data))
    assert decoded.values[path] == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert decoded.faults == ()


def test_every_parameter_has_an_example() -> None:
    assert {pid for pid, *_ in EXAMPLES} == set(PIDS)


def test_every_parameter_is_sound() -> None:
    paths: list[str] = []
    for number, pid in PIDS.items():
        assert number == pid.pid
        for signal in pid.signals:
            assert signal.path in catalogue()
            assert signal.bit_offset + signal.bit_length <= 8 * pid.length
            paths.append(signal.path)
    twice = {path for path in paths if paths.count(path) > 1}
    assert twice == {"Vehicle.Powertrain.TractionBattery.StateOfHealth"}  # the maker's, and that of certified energy


def test_a_value_that_the_ecu_says_it_has_not_is_none() -> None:
    assert service01.decode(0xD2, bytes.fromhex("41D202CC80")) == Decoded()


def test_value_outside_the_catalogue_is_a_fault() -> None:
    decoded = service01.decode(0xA6, bytes.fromhex("41A6FFFFFFFF"))  # 429,496,729.5 km
    assert decoded.values == {}
    assert "Vehicle.TraveledDistance" in decoded.faults[0].reason
    assert decoded.faults[0].request == "service 01 PID A6"


def test_bitmap_of_the_standard() -> None:
    # BE 1F A8 13: the example used throughout the literature on J1979
    supported = service01.decode_supported(0x00, bytes.fromhex("4100BE1FA813"))
    assert supported == {
        0x01,
        0x03,
        0x04,
        0x05,
        0x06,
        0x07,
        0x0C,
        0x0D,
        0x0E,
        0x0F,
        0x10,
        0x11,
        0x13,
        0x15,
        0x1C,
        0x1F,
        0x20,
    }


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "empty"),
        ("7F0112", "NRC 0x12"),
        ("7F01", "too short"),
        ("7F0312", "negative answer to service 03"),
        ("410D", "0 data bytes"),
        ("41", "too short"),
        ("410C10", "answer is about 0C"),
        ("430D10", "does not belong"),
        ("410D1000", "2 data bytes, expected 1"),
    ],
)
def test_answer_that_gives_no_value(payload: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        service01.decode(0x0D, bytes.fromhex(payload))


@pytest.mark.parametrize("payload", ["", "7F0111", "4100BE1FA8", "4100BE1FA81300", "4120BE1FA813", "4200BE1FA813"])
def test_bitmap_that_is_none(payload: str) -> None:
    with pytest.raises(AnswerError):
        service01.decode_supported(0x00, bytes.fromhex(payload))


@given(pid=st.sampled_from(sorted(PIDS)), payload=st.binary(max_size=12))
def test_only_a_whole_positive_answer_gives_values(pid: int, payload: bytes) -> None:
    proper = len(payload) == 2 + PIDS[pid].length and payload[:2] == bytes((0x41, pid))
    if not proper:
        with pytest.raises(AnswerError):
            service01.decode(pid, payload)
        return
    decoded = service01.decode(pid, payload)
    assert len(decoded.values) + len(decoded.faults) == len(PIDS[pid].signals)


@given(pid=st.sampled_from(sorted(PIDS)), data=st.binary(min_size=4, max_size=4))
def test_values_are_within_the_catalogue(pid: int, data: bytes) -> None:
    decoded = service01.decode(pid, bytes((0x41, pid)) + data[: PIDS[pid].length])
    for path, value in decoded.values.items():
        assert catalogue().by_path(path).accepts(value)


@given(code=st.integers(0, 255), pid=st.sampled_from(sorted(PIDS)), rest=st.binary(max_size=5))
def test_negative_answer_never_gives_a_value(code: int, pid: int, rest: bytes) -> None:
    with pytest.raises(AnswerError):
        service01.decode(pid, bytes((0x7F, 0x01, code)) + rest)


def test_several_ecus_are_one_car() -> None:
    mil, count = "Vehicle.OBD.Status.IsMILOn", "Vehicle.Diagnostics.DTCCount"
    combined = service01.combine([Decoded(values={mil: 0, count: 1}), Decoded(values={mil: 1, count: 2})])
    assert combined.values == {mil: 1, count: 3}
    first = service01.combine([Decoded(values={"Vehicle.Speed": 50}), Decoded(values={"Vehicle.Speed": 51})])
    assert first.values == {"Vehicle.Speed": 50}


def test_several_parameters_at_once() -> None:
    assert service01.request(0x0D, 0x0C, 0x05) == bytes.fromhex("010D0C05")
    payload = bytes.fromhex("410D320C0FA0057B")
    assert service01.decode_several((0x0D, 0x0C, 0x05), payload) == {0x0D: b"\x32", 0x0C: b"\x0f\xa0", 0x05: b"\x7b"}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("410D32", "holds 0D, asked was 0D 0C"),
        ("410C0FA00D32", "holds 0C 0D, asked was 0D 0C"),
        ("410D320C0FA0057B", "holds 0D 0C 05"),
        ("410D320C0F", "PID 0C has 1 data bytes"),
        ("410D3203", "PID 03 within"),
        ("41", "holds none"),
        ("7F0112", "NRC 0x12"),
        ("430D320C0FA0", "does not belong"),
    ],
)
def test_an_answer_to_several_that_is_odd(payload: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        service01.decode_several((0x0D, 0x0C), bytes.fromhex(payload))


@given(st.binary(max_size=16))
def test_no_bytes_are_taken_for_several(payload: bytes) -> None:
    try:
        parts = service01.decode_several((0x0D, 0x0C), payload)
    except AnswerError:
        return
    assert payload == b"\x41\x0d" + parts[0x0D] + b"\x0c" + parts[0x0C]
