"""A request as an engineer types it: what it asks of whom, and whether it is known to change nothing."""

import pytest

from edge_agent.diagnose.raw import parse_request
from edge_agent.errors import ConfigurationError


@pytest.mark.parametrize(
    ("words", "answer", "transmit", "receive", "payload"),
    [
        (["7E0", "22", "F1", "90"], None, 0x7E0, 0x7E8, "22F190"),
        (["18DA10F1", "22F190"], None, 0x18DA10F1, 0x18DAF110, "22F190"),
        (["79b", "21", "61"], "7BB", 0x79B, 0x7BB, "2161"),
    ],
)
def test_a_request_as_typed(words: list[str], answer: str | None, transmit: int, receive: int, payload: str) -> None:
    request = parse_request(words, answer)
    assert request.address is not None
    assert (request.address.transmit_id, request.address.receive_id) == (transmit, receive)
    assert request.payload == bytes.fromhex(payload)
    assert request.only_reads


@pytest.mark.parametrize("service", range(256))
def test_only_known_readers_pass_as_such(service: int) -> None:
    request = parse_request(["7E0", f"{service:02X}01"])
    reads = {0x01, 0x02, 0x03, 0x06, 0x07, 0x09, 0x0A, 0x10, 0x19, 0x1A, 0x21, 0x22, 0x3E}
    assert request.only_reads == (service in reads)
    assert request.clears == (service in {0x04, 0x14})
    assert not parse_request(["7E0", "1003"]).only_reads


@pytest.mark.parametrize("identifier", ["6F1", "7DE", "7E8", "101", "18DBFFF1", "18DA10F2", "18DB33F0"])
def test_at_a_makers_own_identifiers_only_uds_is_known_to_read(identifier: str) -> None:
    """An ECU that expects its address before the length would take the 04 in "02 01 04" for a request to clear."""
    for service in ("01", "02", "03", "06", "07", "09", "0A"):
        assert not parse_request([identifier, service, "04"]).only_reads
    assert parse_request([identifier, "22", "F1", "90"]).only_reads


@pytest.mark.parametrize("identifier", ["7DF", "7E0", "7E7", "18DB33F1", "18DA10F1", "18DAFEF1"])
def test_at_the_identifiers_of_obd_its_readers_pass(identifier: str) -> None:
    assert parse_request([identifier, "01", "04"]).only_reads


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["7E0"], "identifier and bytes"),
        (["XYZ", "01"], "no CAN identifier"),
        (["7E0", "0G"], "no bytes in hex"),
        (["FFFFFFFF", "01"], "11 or 29 bits"),
        (["7DF", "22F190F19122F190"], "at most 7 bytes"),
    ],
)
def test_what_is_no_request(words: list[str], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        parse_request(words)
