"""The private cluster: what one node took is there on the others, also on one that was killed meanwhile."""

import os
import shutil
import time
from collections.abc import Callable

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from wearcast.embedded.errors import BrokerUnavailableError
from wearcast.embedded.nats import Broker, BrokerUser
from wearcast.embedded.nats_cluster import Cluster, private_cluster

pytestmark = pytest.mark.broker

USER = BrokerUser.with_new_password("backend")
TOPIC = "wearcast/v1/d1/readings"
STREAM = "$MQTT_msgs"


class Client:
    """A client of one node, whose session the cluster keeps."""

    def __init__(self, node: Broker, client_id: str, *, subscribe: str | None = None) -> None:
        self.payloads: set[bytes] = set()
        self.confirmed: set[int] = set()
        self.subscribed = False
        self._mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=subscribe is None,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self._mqtt.username_pw_set(USER.name, USER.password)
        self._mqtt.on_message = lambda _c, _u, message: self.payloads.add(bytes(message.payload))
        self._mqtt.on_publish = lambda _c, _u, mid, _code, _p: self.confirmed.add(mid)
        self._mqtt.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self._mqtt.connect(node.host, node.port)
        self._mqtt.loop_start()
        if subscribe is not None:
            until(self._mqtt.is_connected, "connected")
            self._mqtt.subscribe(subscribe, qos=1)
            until(lambda: self.subscribed, "subscribed")

    def publish(self, numbers: range) -> None:
        """Publish and wait until the broker has confirmed every one."""
        mids = {self._mqtt.publish(TOPIC, str(number).encode(), qos=1).mid for number in numbers}
        until(lambda: mids <= self.confirmed, "confirmed")

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()
        self._mqtt._reset_sockets()  # paho leaves them to the garbage collector


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.02)


def leader(cluster: Cluster) -> Broker:
    until(lambda: cluster.leader(STREAM), "an election")
    found = cluster.leader(STREAM)
    assert found is not None
    return found


def test_what_one_node_confirmed_is_there_on_a_node_that_was_away() -> None:
    with private_cluster("test", fresh=True, users=[USER]) as cluster:
        assert cluster.leader(STREAM) is None, "no device has connected yet"
        Client(cluster.nodes[0], "ingest", subscribe="wearcast/#").close()
        led = leader(cluster)
        away = next(node for node in cluster.nodes if node is not led)
        device = Client(led, "d1")
        device.publish(range(100))
        away.kill()
        device.publish(range(100, 150))
        device.close()
        away.restart()
        cluster.wait_until_ready()
        backend = Client(away, "ingest", subscribe="wearcast/#")
        until(lambda: len(backend.payloads) >= 150, "all of them at the node that was away")
        backend.close()
    assert backend.payloads == {str(number).encode() for number in range(150)}


def test_a_cluster_is_kept_and_run_by_one_process_at_a_time() -> None:
    name = f"test-{os.getpid()}"
    with private_cluster(name) as cluster:
        with pytest.raises(BrokerUnavailableError, match="Another process runs"), private_cluster(name):
            pass
        home = cluster.nodes[0].log_path.parents[1]
    assert home.is_dir(), "a named store is kept"
    shutil.rmtree(home)
