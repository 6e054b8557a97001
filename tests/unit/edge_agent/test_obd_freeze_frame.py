import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.obd import freeze_frame
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.pids import PIDS
from telemetry.catalogue import catalogue


def test_requests() -> None:
    assert freeze_frame.request(0x0C) == bytes.fromhex("020C00")
    assert freeze_frame.request(0x0C, 2) == bytes.fromhex("020C02")


@pytest.mark.parametrize(("payload", "code"), [("4202000301", "P0301"), ("42020040C1", "C00C1"), ("4202000000", None)])
def test_the_code_that_caused_it(payload: str, code: str | None) -> None:
    assert freeze_frame.decode_cause(bytes.fromhex(payload)) == code


@pytest.mark.parametrize(
    ("pid", "frame", "payload", "path", "value"),
    [
        (0x0C, 0, "420C001AF8", "Vehicle.Powertrain.CombustionEngine.Speed", 1726),
        (0x0D, 1, "420D0132", "Vehicle.Speed", 50),
        (0x05, 0, "4205007B", "Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature", 83),
        (0x04, 0, "420400FF", "Vehicle.OBD.EngineLoad", 100),
    ],
)
def test_values_of_that_moment(pid: int, frame: int, payload: str, path: str, value: float) -> None:
    decoded = freeze_frame.decode(pid, bytes.fromhex(payload), frame)
    assert (decoded.values, decoded.faults) == ({path: value}, ())


def test_what_a_frame_holds() -> None:
    assert freeze_frame.decode_supported(0x00, bytes.fromhex("42000040180001")) == {0x02, 0x0C, 0x0D, 0x20}
    assert freeze_frame.decode_supported(0x20, bytes.fromhex("42200000000001")) == {0x40}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "empty"),
        ("7F0212", "NRC 0x12"),
        ("420C011AF8", "answer is about 0C01"),  # another frame
        ("420D0032", "answer is about 0D00"),
        ("420C001A", "1 data bytes, expected 2"),
        ("420C001AF800", "3 data bytes"),
        ("420C", "too short"),
        ("410C1AF8", "does not belong"),
    ],
)
def test_answer_that_gives_no_value(payload: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        freeze_frame.decode(0x0C, bytes.fromhex(payload))


@pytest.mark.parametrize("payload", ["", "420200", "42020003", "420200030100", "42020103", "7F0231"])
def test_answer_that_names_no_code(payload: str) -> None:
    with pytest.raises(AnswerError):
        freeze_frame.decode_cause(bytes.fromhex(payload))


def test_value_outside_the_catalogue_is_a_fault() -> None:
    decoded = freeze_frame.decode(0xA6, bytes.fromhex("42A600FFFFFFFF"))
    assert decoded.values == {}
    assert decoded.faults[0].request == "service 02 PID A6 frame 00"


@given(pid=st.sampled_from(sorted(PIDS)), frame=st.integers(0, 3), payload=st.binary(max_size=12))
def test_no_bytes_give_an_impossible_value(pid: int, frame: int, payload: bytes) -> None:
    for start in (b"", bytes((0x42, pid, frame))):
        try:
            decoded = freeze_frame.decode(pid, start + payload, frame)
        except AnswerError:
            continue
        assert len(start + payload) == 3 + PIDS[pid].length
        assert all(catalogue().by_path(path).accepts(value) for path, value in decoded.values.items())
