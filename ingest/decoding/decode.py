"""What arrived -> what it is, or why it is not taken. Pure: the time comes with the message.

The wire format's own checks are in :mod:`telemetry.wire`; here stand those that need to know when a message came.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from ingest.decoding.column_reader import ColumnReader, count_values
from ingest.decoding.columns import ColumnarBatch, columnar
from telemetry.compact import is_compact
from telemetry.digest import digest
from telemetry.errors import WireError
from telemetry.records import BatchKey, DeviceStatus, EventKind, EventsBatch, ReadingsBatch, require_aware
from telemetry.topics import parse_device_topic
from telemetry.wire import MAX_PAYLOAD_BYTES, decode_message
from telemetry.wire import REJECT_REASONS as WIRE_REASONS

# Beside those of the wire.
REJECT_REASONS: Final = (
    *WIRE_REASONS,
    "unknown-device",  # not in the registry
    "disabled-device",  # in the registry, switched off
    "far-future",  # a time later than the message came, beyond what clocks differ
    "unsure-time",  # the same by one of our clocks and not by the other
    "too-old",  # a time before there was such a dongle: its clock is not set
    "replayed",  # the key of a batch that is stored, with other content
    "unstorable",  # the database refuses its content
)
# The sender may be registered or enabled tomorrow, and our clocks set: its batches stay in its outbox and come again.
TEMPORARY_REASONS: Final = frozenset({"unknown-device", "disabled-device", "unsure-time"})

# Refused for what a clock shows, the device's or ours: at another time the same message may be taken.
TIME_REASONS: Final = frozenset({"far-future", "unsure-time", "too-old"})

Readings: TypeAlias = ReadingsBatch | ColumnarBatch

# A thousand full batches (:func:`ingest.decoding.column_reader.count_values`). A payload of a kilobyte can hold half a
# million values, or ten thousand rows of hardly any: not all of a group may be unpacked before some are stored.
MOST_VALUES: Final = 1_200_000

# Batches are decoded side by side until they have so many values: each array of theirs then stays in the processor's
# cache. The columns of a whole group at once take half as long again.
_BLOCK_VALUES: Final = 150_000

FUTURE_TOLERANCE: Final = timedelta(minutes=10)  # dongle clocks drift, and GNSS time may jump
EARLIEST: Final = datetime(2010, 1, 1, tzinfo=UTC)
# SAE J2012, with failure type (ISO 14229-1); SAE J1939-73, a parameter and how it fails
TROUBLE_CODE: Final = re.compile(r"[PCBU][0-3][0-9A-F]{3}(-[0-9A-F]{2})?|SPN [0-9]{1,6} FMI [0-9]{1,2}")
_STATUSES: Final = frozenset({"pending", "confirmed", "permanent"})
_DTC_KINDS: Final = frozenset({EventKind.DTC_APPEARED, EventKind.DTC_CHANGED, EventKind.DTC_CLEARED})
# Branches of a device on which the backend speaks or waits for answers: not for the store, and no offence.
_NOT_FOR_THE_STORE: Final = re.compile(r"wearcast/v1/[^/]+/(acks|commands/.*|results/.*)")
_ANSWER: Final = re.compile(r"wearcast/v1/[^/]+/results/")


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A message as the broker handed it over; ``receipt`` is what its source needs to settle it."""

    topic: str
    payload: bytes
    received_at: datetime
    receipt: object = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        require_aware(self.received_at, "Incoming.received_at")


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A message that is what it says; ``digest`` tells its content apart from another of the same key."""

    message: Incoming
    record: Readings | EventsBatch | DeviceStatus
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A message that is not taken, and why; ``key`` where its sender can be told.

    ``stored``: the digest of what is stored under that key, where that is why.
    """

    message: Incoming
    reason: str  # of REJECT_REASONS
    detail: str
    key: BatchKey | None = None
    stored: bytes | None = None


def is_for_the_store(topic: str) -> bool:
    """Whether a topic under ``wearcast/`` is one to store or reject, rather than the backend's own talk."""
    return _NOT_FOR_THE_STORE.fullmatch(topic) is None


def is_answer(topic: str) -> bool:
    """Whether it is where a device answers commands: of what is not for the store, all that a device says."""
    return "/results/" in topic and _ANSWER.match(topic) is not None


def decode_group(messages: Sequence[Incoming], most_values: int = MOST_VALUES) -> list[Accepted | Rejection]:
    """As :func:`decode` does, many at once: the first messages, up to the one that makes it ``most_values``.

    Compact readings are decoded together, column by column; whatever is odd about one is for :func:`decode` to say.
    """
    reader = ColumnReader(EARLIEST)
    batches: list[ColumnarBatch | None] = []
    begun: list[int | Accepted | Rejection] = []
    values = 0
    for message in messages:
        number = _add_compact(reader, message)
        if number is None:
            entry = decode(message)
            begun.append(entry)
            values += _values(entry)
        else:
            begun.append(len(batches) + number)
        if reader.value_count >= _BLOCK_VALUES:
            values += reader.value_count
            batches += columnar(reader)
            reader = ColumnReader(EARLIEST)
        if reader.value_count + values >= most_values:
            break
    batches += columnar(reader)
    decoded: list[Accepted | Rejection] = []
    for message, entry_or_number in zip(messages, begun, strict=False):
        if not isinstance(entry_or_number, int):
            decoded.append(entry_or_number)
        elif (batch := batches[entry_or_number]) is None:
            decoded.append(decode(message))
        else:
            decoded.append(Accepted(message=message, record=batch, digest=digest(message.payload)))
    return decoded


def _add_compact(reader: ColumnReader, message: Incoming) -> int | None:
    if not is_compact(message.payload) or len(message.payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        topic = parse_device_topic(message.topic)
    except WireError:
        return None
    if topic.channel != "readings":
        return None
    return reader.add(topic.device, message.payload, message.received_at + FUTURE_TOLERANCE)


def _values(entry: Accepted | Rejection) -> int:
    if isinstance(entry, Accepted) and isinstance(entry.record, ReadingsBatch):
        values = sum(max(1, len(sample.values)) for sample in entry.record.samples)
        return count_values(values, len(entry.record.estimates))
    return 0


def decode(message: Incoming) -> Accepted | Rejection:
    """Take a message for what it is, or say why not."""
    try:
        topic = parse_device_topic(message.topic)
        record = decode_message(topic, message.payload)
    except WireError as error:
        return Rejection(message=message, reason=error.reason, detail=str(error), key=error.key)
    key = None if isinstance(record, DeviceStatus) else record.key
    for moment in _times(record):
        if moment > message.received_at + FUTURE_TOLERANCE:
            detail = f"{moment.isoformat()} lies in the future; set the clock of the device"
            return Rejection(message=message, reason="far-future", detail=detail, key=key)
        if moment < EARLIEST:
            detail = f"{moment.isoformat()} is before {EARLIEST.year}; set the clock of the device"
            return Rejection(message=message, reason="too-old", detail=detail, key=key)
    if isinstance(record, EventsBatch):
        complaint = _trouble_code_complaint(record)
        if complaint is not None:
            return Rejection(message=message, reason="malformed", detail=complaint, key=key)
    return Accepted(message=message, record=record, digest=digest(message.payload))


def _times(record: ReadingsBatch | EventsBatch | DeviceStatus) -> Iterator[datetime]:
    if isinstance(record, ReadingsBatch):
        yield from (sample.time for sample in record.samples)
        yield from (estimate.time for estimate in record.estimates)
    elif isinstance(record, EventsBatch):
        yield from (event.time for event in record.events)
    else:
        yield record.time


def _trouble_code_complaint(batch: EventsBatch) -> str | None:
    for event in batch.events:
        if event.kind not in _DTC_KINDS:
            continue
        code, ecu = event.data.get("code"), event.data.get("ecu", "")
        if not isinstance(code, str) or TROUBLE_CODE.fullmatch(code) is None:
            return (
                f"batch {batch.key}: {event.kind} needs a code as in SAE J2012, 'P0301', or SAE J1939, 'SPN 110 FMI 0'"
            )
        if not isinstance(ecu, str) or len(ecu) > 32:
            return f"batch {batch.key}: the ecu of {code} is no name of a control unit"
        status = event.data.get("status")
        if event.kind is not EventKind.DTC_CLEARED and not (isinstance(status, str) and status in _STATUSES):
            return f"batch {batch.key}: the status of {code} is none of {', '.join(sorted(_STATUSES))}"
    return None
