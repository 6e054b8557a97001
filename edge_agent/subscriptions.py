"""What a device listens to: asked for at each connection, and again while the broker does not grant it.

With QoS 0, as nothing of it has to wait for an absent device: an acknowledgement that is missed is answered by the
batch's resending, a service record is sent again when the device is seen online, and a command has a deadline. With
QoS 1 a NATS cluster keeps a replicated consumer per subscription, which costs each device twelve times the memory, and
grants none while it elects a leader, which is when the devices of a node that died come to the others.
"""

import logging
from collections.abc import Iterable
from typing import Final

from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

QOS: Final = 0
AGAIN_SECONDS: Final = 10.0  # a refusal is the broker's permissions, or a passing trouble of its own


class Subscriptions:
    """For one client at a time; times in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._asked: dict[int, str] = {}  # by packet id
        self._refused: list[str] = []
        self._again_at = float("inf")

    def ask(self, client: Client, topics: Iterable[str]) -> None:
        """At a new connection: subscribe to all of these."""
        self._asked.clear()
        self._refused.clear()
        self._again_at = float("inf")
        self._subscribe(client, topics)

    def answered(self, packet: int, codes: Iterable[ReasonCode], now: float) -> None:
        """The broker's SUBACK."""
        topic = self._asked.pop(packet, None)
        if topic is not None and any(code.is_failure for code in codes):
            log.warning("the broker does not let us listen on %s; trying again in %g s", topic, AGAIN_SECONDS)
            self._refused.append(topic)
            self._again_at = now + AGAIN_SECONDS

    def tick(self, client: Client, now: float) -> None:
        """Ask again for what was refused, when it is time. Cheap."""
        if now >= self._again_at:
            topics, self._refused, self._again_at = self._refused, [], float("inf")
            self._subscribe(client, topics)

    def _subscribe(self, client: Client, topics: Iterable[str]) -> None:
        for topic in topics:
            _, packet = client.subscribe(topic, qos=QOS)
            if packet is not None:
                self._asked[packet] = topic
