import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.trouble_codes import J1939Code, J2012Code, code_from_bytes, code_to_bytes, describe, parse_code


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("0301", "P0301"),
        ("C100", "U0100"),
        ("4035", "C0035"),
        ("9234", "B1234"),
        ("0A80", "P0A80"),
        ("40351C", "C0035-1C"),
        ("030100", "P0301-00"),
        ("0000", "P0000"),
        ("FFFF", "U3FFF"),
    ],
)
def test_two_or_three_bytes_are_a_code(raw: str, text: str) -> None:
    code = code_from_bytes(bytes.fromhex(raw))
    assert str(code) == text
    assert parse_code(text) == code
    assert code_to_bytes(code) == bytes.fromhex(raw)


@given(st.binary(min_size=2, max_size=3))
def test_bytes_and_text_say_the_same(raw: bytes) -> None:
    code = code_from_bytes(raw)
    assert code_to_bytes(code) == raw
    assert parse_code(str(code)) == code


@pytest.mark.parametrize("raw", [b"", b"\x03", b"\x03\x01\x00\x00"])
def test_other_lengths_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="two or three bytes"):
        code_from_bytes(raw)


@pytest.mark.parametrize(
    ("code", "authority"),
    [
        ("P0301", "standard"),
        ("P1234", "maker"),
        ("P2135", "standard"),
        ("P3000", "maker"),
        ("P33FF", "maker"),
        ("P3400", "standard"),
        ("P3999", "standard"),
        ("P3A00", "reserved"),
        ("C0035", "standard"),
        ("C1234", "maker"),
        ("C2FFF", "maker"),
        ("C3000", "reserved"),
        ("B0001", "standard"),
        ("B1000", "maker"),
        ("B3000", "reserved"),
        ("U0100", "standard"),
        ("U1000", "maker"),
        ("U2000", "maker"),
        ("U3000", "standard"),
    ],
)
def test_the_digits_say_who_gave_the_number_its_meaning(code: str, authority: str) -> None:
    parsed = parse_code(code)
    assert isinstance(parsed, J2012Code)
    assert parsed.authority == authority


@pytest.mark.parametrize("text", ["p0301", " P0301 ", "P0301\n"])
def test_case_and_spaces_do_not_matter(text: str) -> None:
    assert parse_code(text) == parse_code("P0301")
    assert describe(text, "en") == describe("P0301", "en")


@pytest.mark.parametrize(
    "text", ["", "1234", "P4000", "P030", "P03011", "X0301", "P0301-1", "P0301-1CC", "SPN 1", "P０３０１"]
)
def test_what_is_no_code_is_none(text: str) -> None:
    assert parse_code(text) is None
    assert not describe(text, "en").known


def test_truck_codes_are_read() -> None:
    assert parse_code("SPN 110 FMI 0") == J1939Code(spn=110, fmi=0)
    assert parse_code("spn 110  fmi 0") == J1939Code(spn=110, fmi=0)
    assert str(J1939Code(spn=524287, fmi=31)) == "SPN 524287 FMI 31"


@pytest.mark.parametrize("text", ["SPN 524288 FMI 0", "SPN 110 FMI 32", "SPN -1 FMI 0"])
def test_a_truck_code_out_of_its_bits_is_none(text: str) -> None:
    assert parse_code(text) is None
