"""Who may connect to a broker, and what each may do there. No broker's words, no input or output."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from telemetry.subject import Subject, device_subject
from telemetry.topics import PREFIX

# Below a device's branch. The rest of it is the backend's: a device that could publish on its own `acks` would be
# told by itself that something is stored.
PUBLISHED: Final = ("readings", "events", "status", "results/#")
HEARD: Final = ("acks", "commands/#")
# Of a dongle whose owner was erased: it is told to empty itself and answers. Its status too: its last will goes there,
# and a broker may refuse a connection for that. Nothing of it is kept.
WIPED_PUBLISHED: Final = ("status", "results/wipe")
WIPED_HEARD: Final = ("commands/wipe",)
SERVICE_PUBLISHED: Final = ("acks", "commands/#", "status")  # the last: what is retained of an erased person's dongle
SERVICE_HEARD: Final = "wearcast/#"  # foreign topics too, to be stored as rejected


@dataclass(frozen=True, kw_only=True)
class Permitted:
    """A device that may connect, with the certificates of one generation."""

    device: str
    generation: int

    @property
    def subject(self) -> Subject:
        """Of its certificate. ValueError where the device has no usable id."""
        return device_subject(self.device, self.generation)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A part of the backend that signs in with a password."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Access:
    """All that a broker must know of the registry at one time."""

    permitted: tuple[Permitted, ...]  # by device
    only_wiped: tuple[Permitted, ...] = ()  # let in to empty themselves
    blocked: tuple[Permitted, ...] = ()  # kept out for a time, though their certificates are good
    revocation_lists: tuple[str, ...] = ()  # PEM, the newest of each authority
    in_use: bool = True  # the registry has a device, or had one: it is no empty database taken for ours


def published_topics(device: str, *, only_wiped: bool = False) -> tuple[str, ...]:
    """MQTT topic filters on which a device may publish."""
    return tuple(f"{PREFIX}/{device}/{leaf}" for leaf in (WIPED_PUBLISHED if only_wiped else PUBLISHED))


def heard_topics(device: str, *, only_wiped: bool = False) -> tuple[str, ...]:
    """MQTT topic filters to which a device may subscribe."""
    return tuple(f"{PREFIX}/{device}/{leaf}" for leaf in (WIPED_HEARD if only_wiped else HEARD))


def subjects(topics: Iterable[str]) -> list[str]:
    """NATS subjects of MQTT topic filters, without what a filter ending in /# covers beside what is below it."""
    return [topic.replace("/", ".").replace("+", "*").replace("#", ">") for topic in topics]


def subjects_heard(filters: Iterable[str]) -> list[str]:
    """NATS subjects of MQTT subscriptions: a filter ending in /# covers its parent too (MQTT 3.1.1, 4.7.1.2)."""
    found = []
    for topic in filters:
        parent = [topic.removesuffix("/#")] if topic.endswith("/#") else []
        found += subjects([*parent, topic])
    return found


def service_publishes() -> tuple[str, ...]:
    """MQTT topic filters on which a service may publish."""
    return tuple(f"{PREFIX}/+/{leaf}" for leaf in SERVICE_PUBLISHED)
