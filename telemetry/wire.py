"""Bytes <-> records: the one door to the wire format.

Readings travel compact (:mod:`telemetry.compact`: columnar scaled integers, delta-coded, deflated) or as plain JSON
(:mod:`telemetry.plain`: anyone can publish with ``mosquitto_pub``). Events, status and acknowledgements are JSON.
Both forms decode to the same records under the same checks.
"""

from typing import Final, Literal

from telemetry import compact, plain
from telemetry.errors import WireError
from telemetry.limits import check_estimates, check_samples
from telemetry.records import Acknowledgement, DeviceStatus, EventsBatch, ReadingsBatch
from telemetry.topics import DeviceTopic

Form = Literal["compact", "json"]
Message = ReadingsBatch | EventsBatch | DeviceStatus

# Well below the 1 MB at which NATS disconnects the client.
MAX_PAYLOAD_BYTES: Final = 512 * 1024

# Why a message is rejected while decoding; ingest adds its own reasons.
REJECT_REASONS: Final = (
    "foreign-topic",  # not a topic of a device
    "oversized",  # larger than MAX_PAYLOAD_BYTES, or than the limits of a batch once inflated
    "malformed",  # not bytes of this format: broken JSON, truncated columns, wrong types
    "wrong-schema",  # another message or another version than the topic and this code speak
    "wrong-device",  # names another device than its topic
    "unknown-signal",  # a signal that this catalogue does not have
    "out-of-range",  # a value that cannot be true of a car
)


def encode_readings(batch: ReadingsBatch, form: Form = "compact") -> bytes:
    """Bytes of a batch of readings; ValueError for a batch that the other side would reject."""
    payload = compact.encode(batch) if form == "compact" else plain.encode_readings(batch)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(
            f"batch {batch.key} takes {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}; put fewer samples in a batch"
        )
    return payload


def encode_events(batch: EventsBatch) -> bytes:
    """Bytes of a batch of events."""
    return plain.encode_events(batch)


def encode_status(status: DeviceStatus) -> bytes:
    """Bytes of a device's status."""
    return plain.encode_status(status)


def encode_ack(ack: Acknowledgement) -> bytes:
    """Bytes of an acknowledgement."""
    return plain.encode_ack(ack)


def decode_ack(device: str, payload: bytes) -> Acknowledgement:
    """Acknowledgement received on the device's ``acks`` topic; WireError where it is none."""
    return plain.decode_ack(device, payload)


def decode_message(topic: DeviceTopic, payload: bytes) -> Message:
    """Record of what a device published; WireError with its reason, and with the batch's key where that is readable."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise WireError(
            "oversized",
            f"{len(payload)} bytes are more than {MAX_PAYLOAD_BYTES}; put fewer samples in a batch",
        )
    if topic.channel == "status":
        return plain.decode_status(topic.device, payload)
    if topic.channel == "events":
        return plain.decode_events(topic.device, payload)
    if compact.is_compact(payload):
        batch = compact.decode(topic.device, payload)  # checks its columns
    else:
        batch = plain.decode_readings(topic.device, payload)
        check_samples(batch)
    check_estimates(batch)
    return batch
