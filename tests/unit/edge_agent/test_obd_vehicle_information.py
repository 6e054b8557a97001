import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.obd import vehicle_information
from edge_agent.obd.answers import AnswerError

CALID = b"JMB*36761500".ljust(16, b"\x00")
NAME = b"ECM\x00-EngineControl".ljust(20, b"\x00")


def test_items_that_are_there() -> None:
    assert vehicle_information.decode_supported(bytes.fromhex("490054400000")) == {2, 4, 6, 10}


def test_calibrations() -> None:
    two = b"\x49\x04\x02" + CALID + b"JMB*47872611".ljust(16, b"\x00")
    assert vehicle_information.decode_calibration_ids(two) == ("JMB*36761500", "JMB*47872611")
    assert vehicle_information.decode_calibration_ids(b"\x49\x04\x00") == ()
    numbers = bytes.fromhex("490602 1791BC82 16E062BE".replace(" ", ""))
    assert vehicle_information.decode_calibration_numbers(numbers) == ("1791BC82", "16E062BE")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (NAME, "ECM - EngineControl"),
        (b"TCM\x00-TransmisCtrl".ljust(20, b"\x00"), "TCM - TransmisCtrl"),
        (b"ECM".ljust(20, b"\x00"), "ECM"),
        (b"ECM1-EngineControl1\x00", "ECM1 - EngineControl1"),
        (bytes(20), ""),
    ],
)
def test_name_of_the_ecu(raw: bytes, name: str) -> None:
    assert vehicle_information.decode_ecu_name(b"\x49\x0a\x01" + raw) == name


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x49\x04",
        b"\x49\x04\x01" + CALID[:-1],
        b"\x49\x04\x02" + CALID,
        b"\x49\x04\x01" + CALID + b"\x00",
        b"\x49\x04\x01" + b"\x01" * 16,  # no text
        b"\x49\x06\x01" + CALID,
        b"\x7f\x09\x12",
    ],
)
def test_answer_that_names_no_calibration(payload: bytes) -> None:
    with pytest.raises(AnswerError):
        vehicle_information.decode_calibration_ids(payload)


def test_two_names_are_none() -> None:
    with pytest.raises(AnswerError, match="one name"):
        vehicle_information.decode_ecu_name(b"\x49\x0a\x02" + NAME + NAME)


@given(st.sampled_from([b"", b"\x49\x02", b"\x49\x04\x01", b"\x49\x06\x01", b"\x49\x0a\x01"]), st.binary(max_size=24))
def test_no_bytes_break_it(start: bytes, rest: bytes) -> None:
    for decode in (
        vehicle_information.decode_vin,
        vehicle_information.decode_calibration_ids,
        vehicle_information.decode_calibration_numbers,
        vehicle_information.decode_ecu_name,
        vehicle_information.decode_supported,
    ):
        try:
            decoded = decode(start + rest)
        except AnswerError:
            continue
        assert start[:1] == b"\x49" or rest[:1] == b"\x49"
        texts = [decoded] if isinstance(decoded, str) else [item for item in decoded if isinstance(item, str)]
        assert all(text.isprintable() for text in texts)
