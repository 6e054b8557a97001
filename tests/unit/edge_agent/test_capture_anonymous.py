"""Nothing that is written down names the car: neither its VIN nor its serial number, however an ECU spells it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.capture.anonymous import Anonymiser, NotAnonymousError, anonymous_reason, require_anonymous

VIN = "KM8K33AG4LU048123"
TAIL = VIN[-8:]
DID = bytes.fromhex("220101")
characters = st.sampled_from(sorted(set(string.ascii_uppercase + string.digits) - set("IOQ")))
vins = (
    st.lists(characters, min_size=17, max_size=17)
    .map("".join)
    .filter(lambda vin: vin[-8:] != vin[:8])  # the model stays, so its characters must not be the serial number's
)
noise = st.binary(max_size=40)


def masked(data: bytes, vin: str | None = VIN, request: bytes = DID) -> bytes:
    head = bytes((request[0] + 0x40,)) + request[1:]
    clean = Anonymiser(*(() if vin is None else (vin,))).answer(request, head + data)
    assert clean[: len(request)] == head, "service and echo stay"
    assert len(clean) == len(head + data)
    return clean[len(request) :]


def test_maker_and_model_of_a_vin_stay() -> None:
    assert masked(VIN.encode()) == b"KM8K33AG*********"
    assert masked(b"\x01" + VIN.encode() + b"\x00\x00") == b"\x01KM8K33AG*********\x00\x00"


def test_another_car_s_vin_in_a_used_ecu_is_masked_too() -> None:
    assert masked(b"WVGZZZE2ZMP012345") == b"WVGZZZE2*********"
    assert masked(b"WVGZZZE2ZMP012345", vin=None) == b"WVGZZZE2*********"


def test_a_vin_within_a_longer_run_of_characters_leaves_nothing() -> None:
    clean = masked(b"AB" + VIN.encode() + b"7", vin=None)
    assert VIN[8:].encode() not in clean
    assert b"KM8K33AG4" not in clean


@pytest.mark.parametrize(
    "spelling",
    [
        VIN.lower().encode(),
        VIN.encode("utf-16-le"),
        VIN.encode("utf-16-be"),
        b"\x01".join(bytes((byte,)) for byte in VIN.encode()),
        TAIL.encode(),
        b"xx" + VIN[10:].encode() + b"\xff",
        VIN[11:].encode("utf-16-be"),
        bytes.fromhex("048123"),
        b"\x11" + VIN[:7].encode() + b"\x12" + VIN[7:14].encode() + b"\x13" + VIN[14:].encode(),
    ],
    ids=[
        "lower",
        "utf-16",
        "utf-16 big",
        "counted",
        "tail",
        "serial",
        "wide serial",
        "packed digits",
        "in three parts",
    ],
)
def test_however_it_is_spelled(spelling: bytes) -> None:
    clean = masked(b"\x05" + spelling + b"\x06")
    lanes = [clean.upper(), clean[0::2].upper(), clean[1::2].upper()]
    for lane in lanes:
        assert VIN[11:].encode() not in lane
        assert VIN[14:].encode() not in lane, "the last part of one that comes in parts"
    assert bytes.fromhex("048123") not in clean


@pytest.mark.parametrize("request_hex", ["22F18B", "22F18C", "22F198", "22F183", "090D"])
def test_serial_numbers_and_dates_are_masked_whatever_they_are(request_hex: str) -> None:
    request = bytes.fromhex(request_hex)
    assert masked(b"\x20\x23\x11\x07ABC", request=request) == b"*" * 7


@pytest.mark.parametrize("request_hex", ["22F190", "22F802", "0902"])
@pytest.mark.parametrize(
    "name", [b"NHP10-2345678", b"KM8K33AG4LU04812", b"KM8K33AG4L\xff\xff048123\xff", b"\x04\x81\x23"]
)
def test_what_should_be_a_vin_and_is_none_is_masked_whole(request_hex: str, name: bytes) -> None:
    """Cars for Japan have a frame number there; others a VIN with holes in it."""
    assert masked(name, vin=None, request=bytes.fromhex(request_hex)) == b"*" * len(name)


@pytest.mark.parametrize(
    "text",
    [
        "no answer in 200 ms, only an answer to something else (62F18C3034383132)",
        "truncated frame: 2234383132330000 of 7E8 is number 2, expected was 1: a frame was lost",
        "the adapter wrote something that is no frame (7E8 22 34 38 31 32 33 00)",
        "tyres (service 22 DID C00B at 7A0) was refused: only an answer to something else (490201344C553034).",
    ],
)
def test_a_reason_quotes_no_bytes(text: str) -> None:
    clean = anonymous_reason(text)
    assert "…" in clean
    assert not {"34", "3438", "34383132"} & set(clean.replace("(", " ").split())
    assert bytes.fromhex("3034").hex() not in clean
    assert clean[:9] == text[:9]


@pytest.mark.parametrize(
    "text",
    ["NRC 0x31 (request out of range)", "no answer in 1000 ms", "ECU 18DAF110 gave no answer; it may be added later"],
)
def test_a_reason_without_bytes_stays(text: str) -> None:
    assert anonymous_reason(text) == text


def test_calibrations_side_by_side_stay_readable() -> None:
    names = b"39101-0EXX0A0000" + b"37805P2KA0100000"
    assert masked(b"\x02" + names, request=bytes.fromhex("0904")) == b"\x02" + names


def test_values_stay_as_they_are() -> None:
    data = bytes.fromhex("FFF6F8EF1A0E19010FA0FED40E19111010FB")
    assert masked(data) == data
    assert masked(b"PART-NO 95430") == b"PART-NO 95430"


@given(vins, noise, noise, st.sampled_from(["ascii", "utf-16-le", "utf-16-be"]))
def test_no_vin_survives_in_any_surroundings(vin: str, before: bytes, after: bytes, encoding: str) -> None:
    clean = masked(before + vin.encode(encoding) + after, vin=vin)
    for lane in (clean, clean[0::2], clean[1::2]):
        assert vin[-8:].encode() not in lane.upper()


@given(vins, noise, noise)
def test_no_unknown_vin_survives_in_any_surroundings(vin: str, before: bytes, after: bytes) -> None:
    clean = masked(before + b"\x00" + vin.encode() + b"\x00" + after, vin=None)
    assert vin[-8:].encode() not in clean.upper()


@pytest.mark.parametrize("text", [VIN, VIN.lower(), TAIL, VIN.encode().hex(), TAIL.encode().hex(" ").upper()])
def test_the_last_guard_refuses_to_write(text: str) -> None:
    with pytest.raises(NotAnonymousError, match="nothing was written"):
        require_anonymous(f"before {text} after", ("WVGZZZE2ZMP012345", VIN))
    assert require_anonymous(f"before {text} after", ())


def test_the_last_guard_lets_through_what_is_anonymous() -> None:
    assert require_anonymous("KM8K33AG*L*******", (VIN,)) == "KM8K33AG*L*******"
