"""Service records from the backend to a device, and its answers: what a person did to a part or measured on it.

They travel on ``commands/service`` and ``results/service``, as JSON (``wearcast.service/1``,
``wearcast.service_result/1``). A record changes estimates and nothing in the car. Unlike a question (see
:mod:`telemetry.commands`) it does not expire: it is sent again until the device has said what became of it, and the
same record told twice counts once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from telemetry.errors import WireError
from telemetry.plain import JsonMessage, ShortText, Time, decode_as
from telemetry.records import Quantity, ServiceAction, ServiceRecord, VehicleEvent, require_aware

SERVICE_SCHEMA: Final = "wearcast.service/1"
SERVICE_RESULT_SCHEMA: Final = "wearcast.service_result/1"
SERVICE_KIND: Final = "service"  # the last level of both topics
MAX_SERVICE_BYTES: Final = 4096
MAX_REASON: Final = 500  # characters

ServiceState = Literal["applied", "refused"]


@dataclass(frozen=True, kw_only=True)
class ServiceResult:
    """What became of a record: ``applied`` once it is on the disk; ``refused`` for good, with the reason."""

    id: UUID
    device: str
    state: ServiceState
    time: datetime
    reason: str = ""

    def __post_init__(self) -> None:
        require_aware(self.time, "ServiceResult.time")


class ServiceMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """What a person did to a part, or measured on it."""

    id: UUID
    time: Time
    quantity: Quantity
    action: ServiceAction
    by: ShortText
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
    position: ShortText = ""
    value: float | None = None
    unit: ShortText = ""


class ServiceResultMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a service record."""

    id: UUID
    state: ServiceState
    time: Time
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON)] = ""


_encoder = msgspec.json.Encoder()
_service = msgspec.json.Decoder(ServiceMessage)
_result = msgspec.json.Decoder(ServiceResultMessage)


def encode_service(device: str, record: ServiceRecord) -> bytes:
    """Bytes of a record for that device."""
    return _encoder.encode(
        ServiceMessage(
            schema=SERVICE_SCHEMA,
            device=device,
            id=record.id,
            time=record.time.astimezone(UTC),
            quantity=record.quantity,
            action=record.action,
            by=record.by,
            reason=record.reason[:MAX_REASON],
            position=record.position,
            value=record.value,
            unit=record.unit,
        )
    )


def decode_service(device: str, payload: bytes) -> ServiceRecord:
    """Record received on the device's ``commands/service``; WireError where it is none."""
    _bounded(payload)
    message = decode_as(_service, SERVICE_SCHEMA, device, payload)
    try:
        return ServiceRecord(
            id=message.id,
            time=message.time.astimezone(UTC),
            quantity=message.quantity,
            action=message.action,
            by=message.by,
            reason=message.reason,
            position=message.position,
            value=message.value,
            unit=message.unit,
        )
    except (ValueError, OverflowError) as error:
        raise WireError("malformed", f"service record {message.id}: {error}") from error


def encode_service_result(result: ServiceResult) -> bytes:
    """Bytes of an answer; a reason that is too long is cut."""
    return _encoder.encode(
        ServiceResultMessage(
            schema=SERVICE_RESULT_SCHEMA,
            device=result.device,
            id=result.id,
            state=result.state,
            time=result.time.astimezone(UTC),
            reason=result.reason[:MAX_REASON],
        )
    )


def decode_service_result(device: str, payload: bytes) -> ServiceResult:
    """Answer received on the device's ``results/service``; WireError where it is none."""
    _bounded(payload)
    message = decode_as(_result, SERVICE_RESULT_SCHEMA, device, payload)
    return ServiceResult(id=message.id, device=device, state=message.state, time=message.time, reason=message.reason)


def reset_data(record: ServiceRecord) -> dict[str, object]:
    """Data of the event ``service.reset`` that says a record is applied."""
    return {
        "id": str(record.id),
        "quantity": str(record.quantity),
        "position": record.position,
        "action": str(record.action),
        "value": record.value,
        "unit": record.unit,
        "by": record.by,
        "reason": record.reason,
    }


def applied_record(event: VehicleEvent) -> UUID | None:
    """Id of the record an event says is applied; None where its data, a device's word, names none."""
    try:
        return UUID(str(event.data.get("id")))
    except ValueError:
        return None


def _bounded(payload: bytes) -> None:
    if len(payload) > MAX_SERVICE_BYTES:
        raise WireError("oversized", f"{len(payload)} bytes are more than {MAX_SERVICE_BYTES}")
