import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.obd import trouble_codes
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.vehicle_information import decode_vin
from edge_agent.sources.base import TroubleCode


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("0301", "P0301"),
        ("0133", "P0133"),
        ("1A2B", "P1A2B"),
        ("4035", "C0035"),
        ("9234", "B1234"),
        ("C100", "U0100"),
        ("FFFF", "U3FFF"),
    ],
)
def test_code_text(raw: str, text: str) -> None:
    high, low = bytes.fromhex(raw)
    assert trouble_codes.code_text(high, low) == text
    assert trouble_codes.code_bytes(text) == bytes.fromhex(raw)


@pytest.mark.parametrize("text", ["", "P", "X0301", "P4301", "P030", "P03011", "p0301", "P03 1"])
def test_what_is_no_code(text: str) -> None:
    with pytest.raises(ValueError, match="P0301"):
        trouble_codes.code_bytes(text)


@given(st.integers(0, 0xFFFF))
def test_code_round_trip(raw: int) -> None:
    high, low = raw.to_bytes(2)
    assert trouble_codes.code_bytes(trouble_codes.code_text(high, low)) == raw.to_bytes(2)


@pytest.mark.parametrize(("service", "status"), [(0x03, "confirmed"), (0x07, "pending"), (0x0A, "permanent")])
def test_stored_codes(service: int, status: str) -> None:
    codes = trouble_codes.decode_stored(service, bytes((service + 0x40, 2)) + bytes.fromhex("0301C100"), ecu="7E8")
    assert [(c.code, c.ecu, c.status, c.warning_lamp) for c in codes] == [
        ("P0301", "7E8", status, None),
        ("U0100", "7E8", status, None),
    ]


def test_no_codes_and_padding() -> None:
    assert trouble_codes.decode_stored(0x03, bytes.fromhex("4300"), ecu="7E8") == ()
    assert trouble_codes.decode_stored(0x03, bytes.fromhex("430000000000"), ecu="7E8") == ()
    assert len(trouble_codes.decode_stored(0x03, bytes.fromhex("43010301000000"), ecu="7E8")) == 1


@pytest.mark.parametrize(
    "payload", ["", "43", "7F0311", "7F0378", "4301", "430103", "43020301", "43000301", "470103010000", "410300"]
)
def test_failed_read_is_not_an_empty_list(payload: str) -> None:
    with pytest.raises(AnswerError):
        trouble_codes.decode_stored(0x03, bytes.fromhex(payload), ecu="7E8")


@given(service=st.sampled_from([0x03, 0x07, 0x0A]), payload=st.binary(max_size=20))
def test_only_a_positive_answer_gives_codes(service: int, payload: bytes) -> None:
    try:
        codes = trouble_codes.decode_stored(service, payload, ecu="7E8")
    except AnswerError:
        return
    assert payload[0] == service + 0x40
    assert len(codes) <= payload[1]


def test_codes_by_status() -> None:
    payload = bytes.fromhex("5902FF" + "03010089" + "40351C04" + "01330001" + "00000008")
    codes = trouble_codes.decode_by_status(payload, ecu="7E8")
    assert codes == (
        TroubleCode(code="P0301", ecu="7E8", status="confirmed", warning_lamp=True),
        TroubleCode(code="C0035-1C", ecu="7E8", status="pending", warning_lamp=False),
    )
    # bits the ECU does not keep say nothing
    assert trouble_codes.decode_by_status(bytes.fromhex("59020803010088"), ecu="7E8")[0].warning_lamp is None


@pytest.mark.parametrize(
    "payload", ["", "59", "5902", "5903FF", "5902FF030100", "590200", "5902F3", "7F1911", "7F1978"]
)
def test_codes_by_status_that_failed(payload: str) -> None:
    with pytest.raises(AnswerError):
        trouble_codes.decode_by_status(bytes.fromhex(payload), ecu="7E8")


def test_one_entry_per_code_and_ecu() -> None:
    def entry(ecu: str, status: str, *, lamp: bool | None = None) -> TroubleCode:
        return TroubleCode(code="P0301", ecu=ecu, status=status, warning_lamp=lamp)  # type: ignore[arg-type]  # a literal by parameter

    codes = [
        entry("7E8", "pending"),
        entry("7E8", "confirmed"),
        entry("7E8", "permanent"),
        entry("7E8", "pending", lamp=True),
        entry("7E9", "pending"),
    ]
    assert trouble_codes.strongest(codes) == (entry("7E8", "confirmed", lamp=True), entry("7E9", "pending"))


def test_vin() -> None:
    assert decode_vin(b"\x49\x02\x01" + b"WVWZZZ1KZAW000001") == "WVWZZZ1KZAW000001"
    assert decode_vin(b"\x49\x02\x01\x00\x00" + b"WVWZZZ1KZAW000001") == "WVWZZZ1KZAW000001"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x49",
        b"\x49\x02",
        b"\x49\x02\x01",
        b"\x49\x02\x02WVWZZZ1KZAW000001",  # two items
        b"\x49\x02\x01WVWZZZ1KZAW00000",
        b"\x49\x02\x01WVWZZZ1KZAW00000O",
        b"\x49\x02\x01\xffWVWZZZ1KZAW000001",
        b"\x49\x04\x01WVWZZZ1KZAW000001",
        b"\x7f\x09\x12",
    ],
)
def test_what_is_no_vin(payload: bytes) -> None:
    with pytest.raises(AnswerError):
        decode_vin(payload)
