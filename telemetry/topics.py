"""Topics: ``wearcast/v1/{device}/{channel}``. The device is the certificate's CN and the only branch it may use."""

import re
from dataclasses import dataclass
from typing import Literal

from telemetry.errors import WireError

PREFIX = "wearcast/v1"
Channel = Literal["readings", "events", "status"]
CHANNELS: tuple[Channel, ...] = ("readings", "events", "status")

# A space in a topic disconnects the client on NATS; `.`, `*` and `>` have a meaning there.
DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class DeviceTopic:
    """A topic a device publishes on."""

    device: str
    channel: Channel


def require_device_id(device: str) -> str:
    """The id itself, or ValueError saying what an id may consist of."""
    if DEVICE_ID.fullmatch(device) is None:
        raise ValueError(
            f"device id {device!r}: use 1 to 63 letters, digits, '-' or '_', starting with a letter or digit"
        )
    return device


def publish_topic(device: str, channel: Channel) -> str:
    """Where a device publishes."""
    return f"{PREFIX}/{require_device_id(device)}/{channel}"


def acks_topic(device: str) -> str:
    """Where the backend tells a device what is committed."""
    return f"{PREFIX}/{require_device_id(device)}/acks"


def commands_topic(device: str, command: str) -> str:
    """Where the backend sends a command; ``#`` for all."""
    return f"{PREFIX}/{require_device_id(device)}/commands/{command}"


def results_topic(device: str, command: str) -> str:
    """Where a device answers a command."""
    return f"{PREFIX}/{require_device_id(device)}/results/{command}"


def command_of(device: str, topic: str) -> str | None:
    """Name of the command that a topic of this device carries; None where it carries none."""
    prefix = f"{PREFIX}/{device}/commands/"
    return topic.removeprefix(prefix) if topic.startswith(prefix) else None


def sender_of(topic: str) -> str:
    """On which device's branch a message came; '' where on nobody's. Brokers let a device publish on its own alone."""
    parts = topic.split("/", 3)
    return parts[2] if len(parts) == 4 and f"{parts[0]}/{parts[1]}" == PREFIX else ""


def parse_device_topic(topic: str) -> DeviceTopic:
    """Topic of an incoming message; WireError ``foreign-topic`` for anything a device has no business on."""
    parts = topic.split("/")
    if len(parts) == 4 and f"{parts[0]}/{parts[1]}" == PREFIX and DEVICE_ID.fullmatch(parts[2]):
        for channel in CHANNELS:
            if parts[3] == channel:
                return DeviceTopic(device=parts[2], channel=channel)
    raise WireError("foreign-topic", f"topic {topic[:200]!r} is not {PREFIX}/<device>/(readings|events|status)")
