"""Service records on the wire: there and back, and what is none."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.errors import WireError
from telemetry.records import EventKind, Quantity, ServiceAction, ServiceRecord, VehicleEvent
from telemetry.service import (
    ServiceResult,
    ServiceState,
    applied_record,
    decode_service,
    decode_service_result,
    encode_service,
    encode_service_result,
    reset_data,
)

DEVICE = "car-1"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"]), min_size=1, max_size=60).filter(str.strip)
MEASURED = ServiceRecord(
    id=UUID(int=7),
    time=NOW,
    quantity=Quantity.PAD_WEAR,
    action=ServiceAction.MEASURED,
    by="workshop Nord",
    reason="lining measured",
    position="Row1.Left",
    value=6.5,
    unit="mm",
)


@given(
    st.uuids(),
    st.timedeltas(min_value=timedelta(-9000), max_value=timedelta(9000)),
    st.sampled_from(Quantity),
    st.sampled_from(ServiceAction),
    WORDS,
    WORDS,
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_record_goes_there_and_back(
    record_id: UUID, after: timedelta, quantity: Quantity, action: ServiceAction, by: str, reason: str, value: float
) -> None:
    measured = action is ServiceAction.MEASURED
    record = ServiceRecord(
        id=record_id,
        time=NOW + after,
        quantity=quantity,
        action=action,
        by=by,
        reason=reason,
        value=value if measured else None,
        unit="percent" if measured else "",
    )
    assert decode_service(DEVICE, encode_service(DEVICE, record)) == record


@pytest.mark.parametrize("state", ["applied", "refused"])
def test_an_answer_goes_there_and_back(state: ServiceState) -> None:
    result = ServiceResult(id=uuid4(), device=DEVICE, state=state, time=NOW, reason="why")
    assert decode_service_result(DEVICE, encode_service_result(result)) == result


def test_a_long_reason_is_cut_and_not_refused() -> None:
    result = ServiceResult(id=uuid4(), device=DEVICE, state="refused", time=NOW, reason="x" * 5000)
    assert decode_service_result(DEVICE, encode_service_result(result)).reason == "x" * 500


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b'"value":6.5,', b"", "malformed"),  # a measurement without its value
        (b'"measured"', b'"polished"', "malformed"),
        (b'"car-1"', b'"car-2"', "wrong-device"),
        (b"wearcast.service/1", b"wearcast.command/1", "wrong-schema"),
        (b'"by":"workshop Nord"', b'"by":" "', "malformed"),
        (b"6.5", b"1e999", "malformed"),
        (b"lining measured", b"x" * 5000, "oversized"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(before: bytes, after: bytes, reason: str) -> None:
    payload = encode_service(DEVICE, MEASURED)
    assert before in payload
    with pytest.raises(WireError) as error:
        decode_service(DEVICE, payload.replace(before, after))
    assert error.value.reason == reason


def test_the_event_names_its_record() -> None:
    event = VehicleEvent(time=NOW, kind=EventKind.SERVICE_RESET, data=reset_data(MEASURED))
    assert applied_record(event) == MEASURED.id
    assert event.data["value"] == 6.5
    for data in ({}, {"id": None}, {"id": "nonsense"}):
        assert applied_record(VehicleEvent(time=NOW + timedelta(1), kind=EventKind.SERVICE_RESET, data=data)) is None
