import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.obd import clear, dtc_records, obd_on_uds
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.dtc_records import DtcRecord, StoredRecord
from edge_agent.sources.base import TroubleCode
from telemetry.catalogue import catalogue

VIN = "WVWZZZ1KZAW000001"


@pytest.mark.parametrize(("raw", "text"), [("030100", "P0301"), ("40351C", "C0035-1C"), ("C10087", "U0100-87")])
def test_code_of_three_bytes(raw: str, text: str) -> None:
    assert dtc_records.uds_code_text(bytes.fromhex(raw)) == text
    assert dtc_records.uds_code_bytes(text) == bytes.fromhex(raw)


@given(st.binary(min_size=3, max_size=3))
def test_code_round_trip(raw: bytes) -> None:
    assert dtc_records.uds_code_bytes(dtc_records.uds_code_text(raw)) == raw


@pytest.mark.parametrize("text", ["", "P0301-", "P0301-1", "P0301-GG", "X0301-11", "P0301-1-"])
def test_what_is_no_code(text: str) -> None:
    if text == "P0301-":
        assert dtc_records.uds_code_bytes(text) == b"\x03\x01\x00"
        return
    with pytest.raises(ValueError, match="as in"):
        dtc_records.uds_code_bytes(text)


@pytest.mark.parametrize(
    ("request_bytes", "hex_text"),
    [
        (dtc_records.count_request(0x08), "190108"),
        (dtc_records.records_request(), "1902FF"),
        (dtc_records.supported_request(), "190A"),
        (dtc_records.snapshot_identification_request(), "1903"),
        (dtc_records.snapshot_request("P0301"), "1904030100FF"),
        (dtc_records.extended_request("C0035-1C", 1), "190640351C01"),
        (dtc_records.emissions_request(), "1942330C1E"),
        (dtc_records.permanent_request(), "195533"),
        (clear.uds_request(), "14FFFFFF"),
        (clear.uds_request(clear.EMISSIONS_GROUP), "14FFFF33"),
        (obd_on_uds.request(0x0C), "22F40C"),
    ],
)
def test_requests(request_bytes: bytes, hex_text: str) -> None:
    assert request_bytes.hex().upper() == hex_text


def test_count() -> None:
    assert dtc_records.decode_count(bytes.fromhex("5901FF010102")) == 258


def test_status_byte() -> None:
    (code,) = dtc_records.decode_records(bytes.fromhex("5902FF0301008D"))
    assert code == DtcRecord(code="P0301", status=0x8D)
    assert (code.failing_now, code.pending, code.confirmed, code.warning_lamp) == (True, True, True, True)
    assert (code.failed_this_cycle, code.failed_since_clear) == (False, False)
    assert (code.tested_since_clear, code.tested_this_cycle) == (True, True)
    (code,) = dtc_records.decode_records(bytes.fromhex("590208030100FF"))
    assert code.confirmed is True
    # bits that the ECU does not keep say nothing, though they are set
    assert {code.pending, code.warning_lamp, code.failing_now, code.tested_since_clear, code.tested_this_cycle} == {
        None
    }


def test_all_codes_of_an_ecu() -> None:
    payload = bytes.fromhex("590AFF" + "03010000" + "40351C50" + "00000000")
    assert dtc_records.decode_records(payload, dtc_records.SUPPORTED) == (
        DtcRecord(code="P0301", status=0),
        DtcRecord(code="C0035-1C", status=0x50),
    )


def test_emissions_codes_of_a_group() -> None:
    payload = bytes.fromhex("594233" + "8D1E04" + "02030100" + "8D" + "0201330004")
    records = dtc_records.decode_emissions(payload)
    assert records == (
        DtcRecord(code="P0301", status=0x8D, available=0x8D, severity=2),
        DtcRecord(code="P0133", status=0x04, available=0x8D, severity=2),
    )
    assert obd_on_uds.trouble_codes(records, ecu="7E8") == (
        TroubleCode(code="P0301", ecu="7E8", status="confirmed", warning_lamp=True),
        TroubleCode(code="P0133", ecu="7E8", status="pending", warning_lamp=False),
    )
    permanent = dtc_records.decode_permanent(bytes.fromhex("595533FF0403010008"))
    assert obd_on_uds.trouble_codes(permanent, ecu="7E8", permanent=True) == (
        TroubleCode(code="P0301", ecu="7E8", status="permanent"),
    )
    healed = (DtcRecord(code="P0301", status=0x20),)
    assert obd_on_uds.trouble_codes(healed, ecu="7E8") == ()


def test_snapshots() -> None:
    assert dtc_records.decode_snapshot_identification(bytes.fromhex("59030301000103010002")) == (
        ("P0301", 1),
        ("P0301", 2),
    )
    payload = bytes.fromhex("5904030100" + "8D" + "0102F40C1AF8F40D32" + "0201F40D33")
    code, snapshots = dtc_records.decode_snapshots("P0301", payload, {0xF40C: 2, 0xF40D: 1})
    assert code == DtcRecord(code="P0301", status=0x8D)
    assert snapshots == (
        StoredRecord(number=1, values={0xF40C: b"\x1a\xf8", 0xF40D: b"\x32"}, rest=b""),
        StoredRecord(number=2, values={0xF40D: b"\x33"}, rest=b""),
    )


def test_a_snapshot_of_unknown_values_stays_as_it_is() -> None:
    payload = bytes.fromhex("5904030100" + "8D" + "0102F40C1AF8D10032")
    _, snapshots = dtc_records.decode_snapshots("P0301", payload, {0xF40C: 2})
    assert snapshots == (StoredRecord(number=1, values={0xF40C: b"\x1a\xf8"}, rest=b"\xd1\x00\x32"),)
    assert dtc_records.decode_snapshots("P0301", bytes.fromhex("59040301008D")) == (
        DtcRecord(code="P0301", status=0x8D),
        (),
    )


def test_extended_data() -> None:
    code, record = dtc_records.decode_extended("P0301", bytes.fromhex("59060301008D01050A"))
    assert (code.status, record) == (0x8D, StoredRecord(number=1, values={}, rest=b"\x05\x0a"))
    assert dtc_records.decode_extended("P0301", bytes.fromhex("59060301008D"))[1] is None


@pytest.mark.parametrize(
    "payload", ["", "59", "7F1931", "59040301", "5904030100", "59040302008D", "59060301008D", "59040301008D01"]
)
def test_what_is_no_snapshot(payload: str) -> None:
    with pytest.raises(AnswerError):
        dtc_records.decode_snapshots("P0301", bytes.fromhex(payload))


@pytest.mark.parametrize(
    "payload",
    ["", "594233", "594233FF1E", "594234FF1E04", "594233FF1E040203010", "594233001E04", "5902FF03010089", "7F1912"],
)
def test_what_is_no_list_of_a_group(payload: str) -> None:
    with pytest.raises(AnswerError):
        dtc_records.decode_emissions(bytes.fromhex(payload + "0" * (len(payload) % 2)))


@given(
    st.sampled_from(["", "5901", "5902", "590A", "5903", "5904030100", "5906030100", "594233", "595533"]),
    st.binary(max_size=30),
)
def test_no_bytes_break_it(start: str, rest: bytes) -> None:
    payload = bytes.fromhex(start) + rest
    lengths = {0xF40C: 2, 0x0000: 1}
    for decode in (
        dtc_records.decode_count,
        dtc_records.decode_records,
        dtc_records.decode_emissions,
        dtc_records.decode_permanent,
        dtc_records.decode_snapshot_identification,
        lambda data: dtc_records.decode_snapshots("P0301", data, lengths),
        lambda data: dtc_records.decode_extended("P0301", data),
    ):
        try:
            decode(payload)
        except AnswerError:
            continue
        assert payload[0] == 0x59


@pytest.mark.parametrize(("request_hex", "answer"), [("04", "44"), ("14FFFFFF", "54"), ("14FFFF33", "54")])
def test_cleared(request_hex: str, answer: str) -> None:
    clear.require_cleared(bytes.fromhex(request_hex), bytes.fromhex(answer))


@pytest.mark.parametrize(
    ("request_hex", "answer", "reason"),
    [
        ("04", "7F0422", "conditions not correct"),
        ("04", "", "empty"),
        ("04", "4400", "2 bytes"),
        ("14FFFFFF", "44", "does not belong"),
        ("14FFFFFF", "7F1431", "out of range"),
    ],
)
def test_not_cleared(request_hex: str, answer: str, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        clear.require_cleared(bytes.fromhex(request_hex), bytes.fromhex(answer))


def test_what_clears_nothing() -> None:
    with pytest.raises(ValueError, match="three bytes"):
        clear.uds_request(0x1000000)
    with pytest.raises(ValueError, match="clears nothing"):
        clear.require_cleared(b"\x03", b"\x43\x00")


def test_parameters_by_identifier() -> None:
    assert obd_on_uds.decode_supported(0, bytes.fromhex("62F40000180001")) == {0x0C, 0x0D, 0x20}
    assert obd_on_uds.is_supported_answer(bytes.fromhex("62F40000180001"))
    assert not obd_on_uds.is_supported_answer(bytes.fromhex("62F40000000000"))
    assert not obd_on_uds.is_supported_answer(bytes.fromhex("7F2231"))
    assert obd_on_uds.decode(0x0C, bytes.fromhex("62F40C1AF8")).values == {
        "Vehicle.Powertrain.CombustionEngine.Speed": 1726
    }
    refused = obd_on_uds.decode(0xA6, bytes.fromhex("62F4A6FFFFFFFF"))
    assert (refused.values, refused.faults[0].request) == ({}, "service 22 DID F4A6")


def test_vin_by_identifier() -> None:
    assert obd_on_uds.decode_vin(obd_on_uds.VIN_REQUEST, b"\x62\xf8\x02" + VIN.encode()) == VIN
    assert obd_on_uds.decode_vin(obd_on_uds.VIN_REQUEST_OF_MAKER, b"\x62\xf1\x90" + VIN.encode()) == VIN
    for payload in (b"", b"\x62\xf8\x02", b"\x62\xf1\x90" + VIN.encode(), b"\x7f\x22\x31"):
        with pytest.raises(AnswerError):
            obd_on_uds.decode_vin(obd_on_uds.VIN_REQUEST, payload)


@given(pid=st.sampled_from([0x05, 0x0C, 0xA6]), payload=st.binary(max_size=9))
def test_no_bytes_give_an_impossible_value(pid: int, payload: bytes) -> None:
    for start in (b"", bytes((0x62, 0xF4, pid))):
        try:
            decoded = obd_on_uds.decode(pid, start + payload)
        except AnswerError:
            continue
        assert all(catalogue().by_path(path).accepts(value) for path, value in decoded.values.items())
