"""What a worker needs of a broker: messages in groups, to say that they are committed, and to publish."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from ingest.decoding.decode import Incoming
from telemetry.topics import PREFIX
from telemetry.wipe import WIPE_KIND

# Takes a message that is not for the store (an answer to a command); False leaves it to the store.
Aside: TypeAlias = Callable[[str, bytes], bool]

_SAID_AGAIN: Final = ("/acks", f"/commands/{WIPE_KIND}")


def is_said_again(topic: str) -> bool:
    """Whether what is published there is said again until its device has answered, as soon as it shows itself.

    A broker is to keep nothing of it for one that is away: of wipes, which are said each minute, a stolen dongle with
    a session of QoS 1 could have it keep a month's.
    """
    return topic.startswith(f"{PREFIX}/") and topic.endswith(_SAID_AGAIN)


class Source(Protocol):
    """Messages from a broker, handed out in groups and settled once they are committed.

    What is not settled comes again: from the broker where it keeps it, in any case from the device, which waits for
    our acknowledgement. A source holds a bounded amount; beyond that the broker waits for it, and the device for the
    broker.
    """

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        ...

    async def run(self) -> None:
        """Keep connected and receive, until cancelled. A broker that is away is waited for."""
        ...

    async def take(self, *, max_messages: int, max_bytes: int, linger_seconds: float) -> list[Incoming]:
        """Next group: waits for a first message, then at most ``linger_seconds`` for more. Empty once closed."""
        ...

    async def settle(self, messages: Sequence[Incoming]) -> None:
        """These are committed: the broker may forget them. What cannot be said to it costs a repetition."""
        ...

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Hand these (topic, payload) to the broker. BrokerError where it is away, or takes no more.

        That one arrives is not promised: it may be lost with the connection, and what is said again
        (:func:`is_said_again`) also where its device is not connected just then. Whoever publishes has a way to be
        asked again, or tries again itself.
        """
        ...

    def close(self) -> None:
        """Take in no more: :meth:`take` hands out what is left and then empty groups."""
        ...
