"""A second client at the broker: hears what dongles publish, keeps the keys, and can send all of it again."""

import random
import threading
from typing import Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from telemetry.records import BatchKey, DeviceStatus
from telemetry.topics import parse_device_topic
from telemetry.wire import decode_message

EARLIEST: Final = 64  # messages kept of the run's beginning: hours old by its end
LATEST: Final = 128

Message = tuple[str, bytes]  # topic, payload


class Witness:
    """Connected for as long as the site; what it misses while a broker is away, nobody counts on."""

    def __init__(self, host: str, port: int, username: str, password: str) -> None:
        self._lock = threading.Lock()
        self._earliest: list[Message] = []
        self._latest: list[Message] = []
        self.keys: set[BatchKey] = set()  # of every batch heard
        client = Client(CallbackAPIVersion.VERSION2, client_id="witness", clean_session=True)
        client.username_pw_set(username, password)
        client.reconnect_delay_set(1, 1)
        client.max_queued_messages_set(0)
        client.on_connect = _subscribe
        client.on_message = self._hear
        self._client = client
        client.connect(host, port, keepalive=20)
        client.loop_start()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; kept and sent again until a broker has taken it."""
        self._client.publish(topic, payload, qos=1)

    def latest(self, draw: random.Random, count: int) -> list[Message]:
        """Some of what was heard lately, in the order in which it came."""
        with self._lock:
            return [self._latest[place] for place in sorted(_places(draw, len(self._latest), count))]

    def earliest(self, draw: random.Random, count: int) -> list[Message]:
        """Some of what was heard when the run began."""
        with self._lock:
            return [self._earliest[place] for place in sorted(_places(draw, len(self._earliest), count))]

    def _hear(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if not message.topic.startswith(("wearcast/v1/wc-fault-", "wearcast/v1/wc-sick-")):
            return  # what a fault itself has sent
        record = decode_message(parse_device_topic(message.topic), bytes(message.payload))
        assert not isinstance(record, DeviceStatus)
        with self._lock:
            self.keys.add(record.key)
            heard = (message.topic, bytes(message.payload))
            if len(self._earliest) < EARLIEST:
                self._earliest.append(heard)
            self._latest.append(heard)
            del self._latest[:-LATEST]


def _subscribe(client: Client, *_: object) -> None:
    # QoS 0: a cluster without a leader refuses QoS 1 to who comes from a dead node, and then it would hear nothing.
    client.subscribe([("wearcast/v1/+/readings", 0), ("wearcast/v1/+/events", 0)])


def _places(draw: random.Random, available: int, count: int) -> list[int]:
    return draw.sample(range(available), min(count, available))
