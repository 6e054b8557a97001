"""Listening that the broker refused is asked for again."""

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.subscriptions import AGAIN_SECONDS, Subscriptions

GRANTED = ReasonCode(PacketTypes.SUBACK, identifier=0)
REFUSED = ReasonCode(PacketTypes.SUBACK, identifier=0x80)


class Client(mqtt.Client):
    """Notes what it is asked to subscribe to; the packet id is the place in that list."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self.asked: list[tuple[str, int]] = []

    def subscribe(self, topic: object, qos: int = 0, *_: object, **__: object) -> tuple[MQTTErrorCode, int | None]:
        assert isinstance(topic, str)
        self.asked.append((topic, qos))
        return MQTTErrorCode.MQTT_ERR_SUCCESS, len(self.asked) - 1


def test_what_is_granted_is_not_asked_for_again() -> None:
    client, subscriptions = Client(), Subscriptions()
    subscriptions.ask(client, ["acks", "commands"])
    subscriptions.answered(0, [GRANTED], 0.0)
    subscriptions.answered(1, [GRANTED], 0.0)
    subscriptions.tick(client, 1000.0)
    assert client.asked == [("acks", 0), ("commands", 0)]


def test_what_is_refused_is_asked_for_again_after_a_while_until_it_is_granted() -> None:
    client, subscriptions = Client(), Subscriptions()
    subscriptions.ask(client, ["acks", "commands"])
    subscriptions.answered(0, [REFUSED], 100.0)
    subscriptions.answered(1, [GRANTED], 100.0)
    subscriptions.tick(client, 100.0 + AGAIN_SECONDS - 0.1)
    assert len(client.asked) == 2
    subscriptions.tick(client, 100.0 + AGAIN_SECONDS)
    assert client.asked[2:] == [("acks", 0)]
    subscriptions.answered(2, [REFUSED], 111.0)
    subscriptions.tick(client, 121.0)
    assert client.asked[3:] == [("acks", 0)]
    subscriptions.answered(3, [GRANTED], 122.0)
    subscriptions.tick(client, 1000.0)
    assert len(client.asked) == 4


def test_a_new_connection_asks_for_everything_and_forgets_the_former_ones_refusals() -> None:
    client, subscriptions = Client(), Subscriptions()
    subscriptions.ask(client, ["acks"])
    subscriptions.answered(0, [REFUSED], 0.0)
    subscriptions.ask(client, ["acks"])
    subscriptions.answered(0, [REFUSED], 0.0)  # of the former one
    subscriptions.answered(1, [GRANTED], 0.0)
    subscriptions.tick(client, 1000.0)
    assert len(client.asked) == 2
