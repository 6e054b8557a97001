from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ConfigurationError
from edge_agent.obd import did
from edge_agent.obd.answers import AnswerError
from edge_agent.obd.did import DidDefinition, DidSignal, definitions_from
from edge_agent.virtual_car.encode import did_data

OIL_LIFE = "Vehicle.Powertrain.CombustionEngine.EngineOil.LifeRemainingPercent"
SOH = "Vehicle.Powertrain.TractionBattery.StateOfHealth"
CURRENT = "Vehicle.Powertrain.TractionBattery.CurrentCurrent"
DISPLAYED = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed"

OIL = DidDefinition(
    did=0x4DC0,
    request_id=0x7E0,
    response_id=0x7E8,
    period_s=10,
    length=1,
    signals=(DidSignal(did=0x4DC0, path=OIL_LIFE, scale=Fraction(100, 255)),),
)
# Hyundai Kona electric: state of health at bit 200 in tenths of a percent, displayed charge at bit 248 in halves.
KONA = DidDefinition(
    did=0x0105,
    request_id=0x7E4,
    response_id=0x7EC,
    period_s=10,
    signals=(
        DidSignal(did=0x0105, path=SOH, bit_offset=200, bit_length=16, scale=Fraction(1, 10)),
        DidSignal(did=0x0105, path=DISPLAYED, bit_offset=248, scale=Fraction(1, 2)),
    ),
)


def test_one_byte() -> None:
    assert did.decode(OIL, bytes.fromhex("624DC0FF")).values == {OIL_LIFE: 100}
    assert did.decode(OIL, bytes.fromhex("624DC033")).values == {OIL_LIFE: 20}


def test_long_answer_with_more_than_the_signals() -> None:
    data = bytearray(43)
    data[25:27] = (937).to_bytes(2)
    data[31] = 159
    assert did.decode(KONA, b"\x62\x01\x05" + data).values == {SOH: 93.7, DISPLAYED: 79.5}


def test_signed_value() -> None:
    signal = DidSignal(did=1, path=CURRENT, bit_length=16, scale=Fraction(1, 10), signed=True)
    definition = DidDefinition(did=1, request_id=0x7E4, response_id=0x7EC, period_s=1, signals=(signal,))
    assert did.decode(definition, bytes.fromhex("620001FF9C")).values == {CURRENT: -10}
    assert did.decode(definition, bytes.fromhex("6200010064")).values == {CURRENT: 10}


def test_a_number_that_stands_for_no_value_gives_neither_value_nor_fault() -> None:
    data = bytearray(43)
    data[31] = 159
    soh, displayed = KONA.signals
    definition = replace(KONA, signals=(replace(soh, absent=frozenset({0})), displayed))
    answer = did.decode(definition, b"\x62\x01\x05" + data)
    assert (answer.values, answer.faults) == ({DISPLAYED: 79.5}, ())


def test_value_outside_the_catalogue_is_a_fault() -> None:
    data = bytearray(43)
    data[25:27] = b"\xff\xff"
    decoded = did.decode(KONA, b"\x62\x01\x05" + data)
    assert decoded.values == {DISPLAYED: 0}
    assert decoded.faults[0].request == "service 22 DID 0105 at 7E4"
    assert "6553.5 %" in decoded.faults[0].reason


@pytest.mark.parametrize(
    "payload", ["", "62", "624D", "624DC0", "624DC00000", "624DC100", "7F2231", "7F2278", "7F22", "414DC0FF"]
)
def test_answer_that_gives_no_value(payload: str) -> None:
    with pytest.raises(AnswerError):
        did.decode(OIL, bytes.fromhex(payload))


@given(st.binary(max_size=60))
def test_only_a_whole_positive_answer_gives_values(payload: bytes) -> None:
    if payload[:3] == b"\x62\x01\x05" and len(payload) >= 3 + KONA.minimum_length:
        did.decode(KONA, payload)
        return
    with pytest.raises(AnswerError):
        did.decode(KONA, payload)


@given(value=st.floats(0, 100), bit_offset=st.integers(0, 37), bit_length=st.integers(10, 32), signed=st.booleans())
def test_encoder_and_decoder_agree(value: float, bit_offset: int, bit_length: int, *, signed: bool) -> None:
    signal = DidSignal(
        did=7,
        path=SOH,
        bit_offset=bit_offset,
        bit_length=bit_length,
        scale=Fraction(1, 4),
        offset=Fraction(-3),
        signed=signed,
    )
    definition = DidDefinition(did=7, request_id=1, response_id=2, period_s=1, signals=(signal,))
    decoded = did.decode(definition, b"\x62\x00\x07" + did_data(definition, {SOH: value}))
    assert decoded.values[SOH] == pytest.approx(value, abs=0.125)


def test_definitions_from_plain_data() -> None:
    (oil, pads) = definitions_from(
        [
            {
                "did": "0x4DC0",
                "request_id": 0x7E0,
                "response_id": 0x7E8,
                "period_s": 10,
                "length": 1,
                "signals": [{"path": OIL_LIFE, "scale": "100/255"}],
            },
            {
                "did": 5,
                "request_id": 1,
                "response_id": 2,
                "signals": [{"path": SOH, "byte_offset": 2, "length": 2, "scale": 0.1}],
            },
        ]
    )
    assert oil == OIL
    assert pads.signals[0].bit_offset == 16
    assert pads.signals[0].bit_length == 16
    assert pads.signals[0].scale == Fraction(1, 10)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"did": None}, "'did' is missing"),
        ({"did": "oil"}, "'oil' is not a whole number"),
        ({"perod_s": 3}, "unknown key 'perod_s'; did you mean 'period_s'"),
        ({"signals": []}, "at least one signal"),
        ({"signals": [{"path": "Vehicle.Sped"}]}, "did you mean 'Vehicle.Speed'"),
        ({"signals": [{"path": SOH, "scale": "1/0"}]}, "quotient"),
        ({"signals": [{"path": SOH, "bit_offset": 1, "byte_offset": 1}]}, "not both"),
        ({"signals": [{"path": SOH, "length": 2}], "length": 1}, "does not hold"),
        ({"period_s": 0}, "above 0"),
    ],
)
def test_errors_name_the_place(change: dict[str, object], text: str) -> None:
    document = {"did": 5, "request_id": 1, "response_id": 2, "signals": [{"path": SOH}]} | change
    with pytest.raises(ConfigurationError, match=text):
        definitions_from([document])


def test_a_local_identifier_is_one_byte_and_echoed_as_one() -> None:
    definition = DidDefinition.from_dict(
        {
            "service": 0x21,
            "did": 0x61,
            "request_id": 0x79B,
            "response_id": 0x7BB,
            "signals": [{"path": SOH, "length": 2}],
        }
    )
    assert definition.request == bytes.fromhex("2161")
    assert definition.request_name == "service 21 DID 61 at 79B"
    assert did.decode(definition, bytes.fromhex("61610064")).values == {SOH: 100.0}
    with pytest.raises(AnswerError, match="answer is about 62, asked was 61"):
        did.decode(definition, bytes.fromhex("61620064"))
    with pytest.raises(ConfigurationError, match="a DID of service 0x21 has one byte"):
        DidDefinition.from_dict(
            {"service": 0x21, "did": 0x0161, "request_id": 0x79B, "response_id": 0x7BB, "signals": [{"path": SOH}]}
        )
    with pytest.raises(ConfigurationError, match="service 0x01 reads no identifier"):
        DidDefinition.from_dict(
            {"service": 1, "did": 0x61, "request_id": 0x79B, "response_id": 0x7BB, "signals": [{"path": SOH}]}
        )
