"""The plain JSON form: readings anyone can publish by hand, and all events, statuses and acknowledgements.

Every message says its schema, ``wearcast.<what>/<version>``. ``device`` may be left out; where it stands it must
be the topic's. Times are RFC 3339 with a time zone.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

import msgspec

from telemetry.errors import WireError
from telemetry.limits import MAX_TEXT
from telemetry.records import (
    MAX_MEASUREMENTS,
    Acknowledgement,
    BatchKey,
    DeviceStatus,
    Estimate,
    EventKind,
    EventsBatch,
    Quantity,
    ReadingsBatch,
    RejectedBatch,
    Sample,
    Source,
    VehicleEvent,
)

READINGS_SCHEMA: Final = "wearcast.readings/1"
EVENTS_SCHEMA: Final = "wearcast.events/1"
STATUS_SCHEMA: Final = "wearcast.status/1"
ACK_SCHEMA: Final = "wearcast.ack/1"
MAX_ITEMS: Final = 10_000
MAX_DEPTH: Final = 16  # of an event's data; how deep a parser itself goes depends on the version of Python

Time = Annotated[datetime, msgspec.Meta(tz=True)]
Sequence = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
BigCount = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
ShortText = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class JsonMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every message of this form begins with."""

    schema: str
    device: str | None = None


class _Sample(msgspec.Struct, frozen=True, kw_only=True):
    time: Time
    values: dict[str, float | bool]
    monotonic_ms: int = 0


class _Estimate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    time: Time
    quantity: Quantity
    value: float
    low: float
    high: float
    source: Source
    method: ShortText
    position: ShortText = ""
    measurements: Annotated[int, msgspec.Meta(ge=0, le=MAX_MEASUREMENTS)] | None = None
    limited_by: ShortText = ""


class ReadingsMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """Samples and estimates of one device."""

    boot: UUID
    sequence: Sequence
    samples: Annotated[list[_Sample], msgspec.Meta(max_length=MAX_ITEMS)] = []
    estimates: Annotated[list[_Estimate], msgspec.Meta(max_length=MAX_ITEMS)] = []


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    time: Time
    kind: EventKind
    data: dict[str, Any] = {}


class EventsMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """Events of one device."""

    boot: UUID
    sequence: Sequence
    events: Annotated[list[_Event], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


class StatusMessage(JsonMessage, frozen=True, kw_only=True):
    """State of one device, retained by the broker."""

    boot: UUID
    state: Literal["online", "offline"]
    time: Time
    version: ShortText
    pending_batches: Count = 0
    oldest_pending_seconds: Count | None = None
    samples_given_up: BigCount | None = None
    batches_resent: BigCount | None = None
    certificate_ends: Time | None = None
    planned: bool | None = None


class _Rejected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    sequence: Sequence
    reason: str
    stored: bytes | None = None  # Base64


class AckMessage(JsonMessage, frozen=True, kw_only=True, omit_defaults=True):
    """What is committed of one boot, as inclusive ranges of sequence numbers, and what was rejected."""

    boot: UUID
    committed: list[tuple[Sequence, Sequence]] = []
    rejected: list[_Rejected] = []


_encoder = msgspec.json.Encoder()
_head = msgspec.json.Decoder(JsonMessage)
_readings = msgspec.json.Decoder(ReadingsMessage)
_events = msgspec.json.Decoder(EventsMessage)
_status = msgspec.json.Decoder(StatusMessage)
_ack = msgspec.json.Decoder(AckMessage)

M = TypeVar("M", bound=JsonMessage)


def encode_readings(batch: ReadingsBatch) -> bytes:
    """Bytes of a batch of readings."""
    return _encoder.encode(
        ReadingsMessage(
            schema=READINGS_SCHEMA,
            device=batch.key.device,
            boot=batch.key.boot,
            sequence=batch.key.sequence,
            samples=[
                _Sample(time=_utc(sample.time), monotonic_ms=sample.monotonic_ms, values=dict(sample.values))
                for sample in batch.samples
            ],
            estimates=[
                _Estimate(
                    time=_utc(estimate.time),
                    quantity=estimate.quantity,
                    position=estimate.position,
                    value=estimate.value,
                    low=estimate.low,
                    high=estimate.high,
                    source=estimate.source,
                    method=estimate.method,
                    measurements=estimate.measurements,
                    limited_by=estimate.limited_by,
                )
                for estimate in batch.estimates
            ],
        )
    )


def decode_readings(device: str, payload: bytes) -> ReadingsBatch:
    """Batch of readings; WireError where it is none."""
    message = decode_as(_readings, READINGS_SCHEMA, device, payload)
    key = BatchKey(device=device, boot=message.boot, sequence=message.sequence)
    if not message.samples and not message.estimates:
        raise WireError("malformed", f"batch {key} has neither samples nor estimates", key)
    try:
        return ReadingsBatch(
            key=key,
            samples=tuple(
                Sample(
                    time=_utc(sample.time),
                    monotonic_ms=sample.monotonic_ms,
                    values={path: float(value) for path, value in sample.values.items()},
                )
                for sample in message.samples
            ),
            estimates=tuple(
                Estimate(
                    time=_utc(entry.time),
                    quantity=entry.quantity,
                    position=entry.position,
                    value=entry.value,
                    low=entry.low,
                    high=entry.high,
                    source=entry.source,
                    method=entry.method,
                    measurements=entry.measurements,
                    limited_by=entry.limited_by,
                )
                for entry in message.estimates
            ),
        )
    except (ValueError, OverflowError) as error:
        raise WireError("malformed", f"batch {key}: {error}", key) from error


def encode_events(batch: EventsBatch) -> bytes:
    """Bytes of a batch of events."""
    return _encoder.encode(
        EventsMessage(
            schema=EVENTS_SCHEMA,
            device=batch.key.device,
            boot=batch.key.boot,
            sequence=batch.key.sequence,
            events=[_Event(time=_utc(event.time), kind=event.kind, data=dict(event.data)) for event in batch.events],
        )
    )


def decode_events(device: str, payload: bytes) -> EventsBatch:
    """Batch of events; WireError where it is none."""
    message = decode_as(_events, EVENTS_SCHEMA, device, payload)
    key = BatchKey(device=device, boot=message.boot, sequence=message.sequence)
    if any(deeper_than(event.data, MAX_DEPTH) for event in message.events):
        raise WireError("malformed", f"batch {key}: data of an event is nested deeper than {MAX_DEPTH} levels", key)
    try:
        events = tuple(
            VehicleEvent(time=_utc(event.time), kind=event.kind, data=event.data) for event in message.events
        )
    except (ValueError, OverflowError) as error:
        raise WireError("malformed", f"batch {key}: {error}", key) from error
    return EventsBatch(key=key, events=events)


def deeper_than(data: object, depth: int) -> bool:
    """Whether mappings and lists lie deeper within each other. Level by level: recursion is what a deep nest breaks."""
    level: list[object] = [data]
    for _ in range(depth):
        level = [
            part
            for entry in level
            if isinstance(entry, dict | list)
            for part in (entry.values() if isinstance(entry, dict) else entry)
        ]
    return any(isinstance(entry, dict | list) for entry in level)


def encode_status(status: DeviceStatus) -> bytes:
    """Bytes of a status."""
    return _encoder.encode(
        StatusMessage(
            schema=STATUS_SCHEMA,
            device=status.device,
            boot=status.boot,
            state=status.state,
            time=_utc(status.time),
            version=status.version,
            pending_batches=status.pending_batches,
            oldest_pending_seconds=status.oldest_pending_seconds,
            samples_given_up=status.samples_given_up,
            batches_resent=status.batches_resent,
            certificate_ends=None if status.certificate_ends is None else _utc(status.certificate_ends),
            planned=status.planned,
        )
    )


def decode_status(device: str, payload: bytes) -> DeviceStatus:
    """Status of a device; WireError where it is none."""
    message = decode_as(_status, STATUS_SCHEMA, device, payload)
    return DeviceStatus(
        device=device,
        boot=message.boot,
        state=message.state,
        time=message.time,
        version=message.version,
        pending_batches=message.pending_batches,
        oldest_pending_seconds=message.oldest_pending_seconds,
        samples_given_up=message.samples_given_up,
        batches_resent=message.batches_resent,
        certificate_ends=message.certificate_ends,
        planned=message.planned,
    )


def encode_ack(ack: Acknowledgement) -> bytes:
    """Bytes of an acknowledgement."""
    return _encoder.encode(
        AckMessage(
            schema=ACK_SCHEMA,
            device=ack.device,
            boot=ack.boot,
            committed=list(ack.committed),
            rejected=[
                _Rejected(sequence=entry.sequence, reason=entry.reason, stored=entry.stored) for entry in ack.rejected
            ],
        )
    )


def decode_ack(device: str, payload: bytes) -> Acknowledgement:
    """Acknowledgement for a device; WireError where it is none."""
    message = decode_as(_ack, ACK_SCHEMA, device, payload)
    return Acknowledgement(
        device=device,
        boot=message.boot,
        committed=tuple(message.committed),
        rejected=tuple(
            RejectedBatch(sequence=entry.sequence, reason=entry.reason, stored=entry.stored)
            for entry in message.rejected
        ),
    )


def decode_as(decoder: "msgspec.json.Decoder[M]", schema: str, device: str, payload: bytes) -> M:
    """Message of a schema from a device's branch; WireError says why it is none."""
    try:
        head = _head.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", f"not a JSON message of Wearcast: {error}") from error
    if head.schema != schema:
        raise WireError("wrong-schema", f"schema {head.schema[:100]!r} where {schema!r} is expected")
    if head.device is not None and head.device != device:
        raise WireError("wrong-device", f"the message names device {head.device[:100]!r}, its topic {device!r}")
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", f"{schema}: {error}") from error


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
