"""The connection of a dongle that is empty: it hears wipes, answers, and clears what the broker retains of it.

No last will and no status: there is nothing to tell but the answer. The session is a clean one, so that what the broker
kept for the former service ends with it.
"""

import logging
import queue
import threading
import time
from typing import Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.broker_tls import BrokerTls
from edge_agent.broker_trouble import BrokerTrouble
from edge_agent.config import MqttConfig, UplinkConfig
from edge_agent.reconnect import ReconnectPauses
from edge_agent.uplink import NETWORK_END_SECONDS
from telemetry.topics import commands_topic, publish_topic, results_topic
from telemetry.wipe import WIPE_KIND, WipeResult, encode_wipe_result

log = logging.getLogger(__name__)

_WAITING: Final = 16  # wipes that are not looked at yet
_QOS_HEARD: Final = 0  # told again until it is answered
_QOS_SAID: Final = 1


class WipeLink:
    """Connects in the background, again and again with growing pauses, from :meth:`start` to :meth:`stop`."""

    def __init__(self, *, device: str, mqtt: MqttConfig, uplink: UplinkConfig) -> None:
        self._device = device
        self._mqtt = mqtt
        self._uplink = uplink
        self._client: Client | None = None
        self._connected = False
        self._received: queue.Queue[bytes] = queue.Queue(_WAITING)

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._connected

    def start(self) -> None:
        """Begin; returns at once. Nothing where it has begun."""
        if self._client is not None:
            return
        self._pauses = ReconnectPauses(self._uplink.reconnect_min_seconds, self._uplink.reconnect_max_seconds)
        self._trouble = BrokerTrouble(self._mqtt)
        client = Client(
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=self._device,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, self._mqtt.password)
        self._tls = None if self._mqtt.tls is None else BrokerTls(self._mqtt.tls)
        if self._tls is not None:
            client.tls_set_context(self._tls.context)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        self._trouble.watch(client)
        self._client = client
        client.connect_async(self._mqtt.host, self._mqtt.port, keepalive=round(self._mqtt.keepalive_seconds))
        client.loop_start()

    def stop(self) -> None:
        """End; paho's thread may sit in a handshake that nobody answers, and is left to end by itself."""
        client, self._client, self._connected = self._client, None, False
        if client is None:
            return
        client.on_connect = client.on_connect_fail = client.on_disconnect = client.on_message = client.on_log = None
        client.disconnect()
        ending = threading.Thread(target=client.loop_stop, name="end of the network thread", daemon=True)
        ending.start()
        ending.join(NETWORK_END_SECONDS)

    def received(self, seconds: float) -> bytes | None:
        """The next wipe as it came; None where none comes within that time."""
        try:
            return self._received.get(timeout=seconds)
        except queue.Empty:
            return None

    def answer(self, result: WipeResult, *, seconds: float = 5.0) -> bool:
        """Say it; whether the broker took it within that time."""
        client = self._client
        if client is None or not self._connected:
            return False
        info = client.publish(results_topic(self._device, WIPE_KIND), encode_wipe_result(result), qos=_QOS_SAID)
        until = time.monotonic() + seconds
        while info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS and not info.is_published():
            if time.monotonic() >= until or not self._connected:
                return False
            time.sleep(0.01)
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if client is not self._client:  # stopped; its thread may outlive it
            return
        if reason.is_failure:
            log.info("the broker lets this emptied dongle in no more: %s", reason)
            return
        self._trouble.connected()
        self._pauses.connected()
        client.publish(publish_topic(self._device, "status"), b"", qos=_QOS_SAID, retain=True)
        client.subscribe(commands_topic(self._device, WIPE_KIND), qos=_QOS_HEARD)
        self._connected = True

    def _on_disconnect(
        self,
        client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        _reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if client is not self._client:
            return
        if not self._connected:
            self._trouble.dropped()
        self._connected = False
        self._again(client)

    def _on_connect_fail(self, client: Client, _userdata: object) -> None:
        self._trouble.failed()
        self._again(client)

    def _again(self, client: Client) -> None:
        pause = self._pauses.next()
        client.reconnect_delay_set(pause, pause)  # type: ignore[arg-type]  # paho says int, compares and sleeps
        if self._tls is not None:
            self._tls.renew()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if not self._received.full():
            self._received.put_nowait(bytes(message.payload))
