"""Outbox -> MQTT: publishes what is not acknowledged, in a bounded window, until the backend has it.

The broker's PUBACK decides nothing here. A batch leaves the outbox when an acknowledgement arrives on ``acks``; until
then it is published again, with growing pauses. In which order is :mod:`edge_agent.window`'s to say. While the clock
is likely to be put right in a moment (a machine without one has just started) nothing is published for the first time:
from then on a batch keeps its bytes, and so its times.

Threads. paho's network thread calls ``_on_*``; the agent's thread calls :meth:`tick`. Both end in :meth:`_pump`.
Order of locks: ours, then the outbox's or paho's; paho holds none that :meth:`publish` needs while it calls us, and
``on_publish`` (called under paho's message lock) is not used. An error in a callback is kept and raised from
:meth:`tick`: paho's thread cannot die unnoticed.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.broker_tls import BrokerTls
from edge_agent.broker_trouble import BrokerTrouble
from edge_agent.clock import Clock
from edge_agent.config import MqttConfig, UplinkConfig
from edge_agent.errors import UplinkError
from edge_agent.outbox import Outbox, StoredBatch
from edge_agent.own_status import OwnStatus, log_acknowledged, log_published
from edge_agent.reconnect import ReconnectPauses
from edge_agent.subscriptions import Subscriptions
from edge_agent.window import Window
from telemetry.errors import WireError
from telemetry.topics import acks_topic, command_of, commands_topic, publish_topic, results_topic
from telemetry.wipe import WIPE_KIND
from telemetry.wire import decode_ack, encode_status

log = logging.getLogger(__name__)

STATUS_EVERY_SECONDS: Final = 300.0  # how old the pending count in the retained status may be
FAREWELL_SECONDS: Final = 1.0  # for the broker to take the "offline"
NETWORK_END_SECONDS: Final = 1.0
_QOS = 1


class Uplink(Protocol):
    """Where sealed batches go. :class:`MqttUplink` on a device, ``LoopbackUplink`` in tests."""

    @property
    def connected(self) -> bool:
        """Whether acknowledgements can arrive now."""
        ...

    def start(self) -> None:
        """Begin; returns at once, with or without a broker."""
        ...

    def tick(self) -> None:
        """Publish what is due. Cheap; called after each poll."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass for acknowledgements to arrive; returns early when some did."""
        ...

    def stop(self) -> None:
        """Say offline and end; what is not acknowledged stays in the outbox."""
        ...


def _send_at_once(_client: Client, _userdata: object, connection: object) -> None:
    """Without Nagle's algorithm: it holds a small packet back until the last one is acknowledged, some 40 ms each."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MqttUplink:
    """The uplink over MQTT 3.1.1 with a persistent session, in which what awaits a PUBACK goes on."""

    def __init__(self, *, device: str, mqtt: MqttConfig, uplink: UplinkConfig, outbox: Outbox, clock: Clock) -> None:
        self.on_command: Callable[[str, bytes], None] | None = None  # on the network thread; set before start()
        self._device = device
        self._mqtt = mqtt
        self._outbox = outbox
        self._clock = clock
        self._uplink = uplink
        self._window = Window(size=uplink.window, ack_timeout_seconds=uplink.ack_timeout_seconds)
        self._lock = threading.RLock()
        self._connected = False
        self._failure: BaseException | None = None
        self._news = threading.Event()  # an acknowledgement arrived, or the connection came up
        self._status_at = float("-inf")
        self._status_unsure = False  # the last status had a time that was likely to be wrong
        self._stopped = False
        self._withheld = False  # the broker withholds PUBACKs
        self._trouble = BrokerTrouble(mqtt)
        self._subscriptions = Subscriptions()
        self._own = OwnStatus(device=device, outbox=outbox, clock=clock, tls=mqtt.tls)
        self._client = self._build(uplink)

    def start(self) -> None:
        """Connect in the background, again and again with growing pauses; after a stop, anew."""
        if self._stopped:  # what the former client had not finished is due at once
            self._window = Window(size=self._uplink.window, ack_timeout_seconds=self._uplink.ack_timeout_seconds)
            self._client = self._build(self._uplink)
            self._stopped = False
        self._renew_tls()  # a certificate may have come since the client was made
        self._client.connect_async(self._mqtt.host, self._mqtt.port, keepalive=round(self._mqtt.keepalive_seconds))
        self._client.loop_start()

    def tick(self) -> None:
        """Publish new batches and those whose acknowledgement is overdue."""
        with self._lock:
            if self._failure is not None:
                raise UplinkError("the network thread failed; see the cause") from self._failure
            if not self._connected:
                return
            moment = time.monotonic()
            self._subscriptions.tick(self._client, moment)
            if self._window.free or moment >= self._window.next_due():
                self._pump()
            outdated = self._status_unsure and not self._clock.unsure
            if outdated or moment - self._status_at >= STATUS_EVERY_SECONDS:
                self._publish_status("online")

    def publish_result(self, kind: str, payload: bytes) -> None:
        """Answer a command; dropped without a connection: who asked has a deadline and asks again."""
        if self._connected:
            self._client.publish(results_topic(self._device, kind), payload, qos=_QOS)

    def wait(self, seconds: float) -> None:
        """Sleep until an acknowledgement arrives, at most ``seconds``."""
        self._news.wait(seconds)
        self._news.clear()

    def stop(self) -> None:
        """Publish offline (a clean end sends no last will), disconnect, end the network thread."""
        with self._lock:
            alive = self._connected and self._failure is None
            farewell = self._publish_status("offline") if alive else None
        if farewell is not None:
            deadline = time.monotonic() + FAREWELL_SECONDS
            while not farewell() and time.monotonic() < deadline and self._client.is_connected():
                time.sleep(0.01)
        self._client.disconnect()
        # paho's thread may sit in a connect or a TLS handshake that nobody answers: it is left to end by itself.
        self._stopped = True
        self._connected = False
        ending = threading.Thread(target=self._client.loop_stop, name="end of the network thread", daemon=True)
        ending.start()
        ending.join(NETWORK_END_SECONDS)
        # Out of the circle of references: paho closes its own pair of sockets when the last one to it is gone.
        client = self._client
        client.on_connect = client.on_connect_fail = client.on_disconnect = client.on_message = client.on_log = None
        client.on_subscribe = None

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._connected

    def _build(self, uplink: UplinkConfig) -> Client:
        client = Client(
            callback_api_version=CallbackAPIVersion.VERSION2,
            client_id=self._device,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        self._pauses = ReconnectPauses(uplink.reconnect_min_seconds, uplink.reconnect_max_seconds)
        # paho never queues: the window is below its limit of messages in flight. The bound on what it holds is for a
        # broker that withholds PUBACKs while resends go on.
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(4 * uplink.window + 16)
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, self._mqtt.password)
        self._tls = None if self._mqtt.tls is None else BrokerTls(self._mqtt.tls)
        if self._tls is not None:
            client.tls_set_context(self._tls.context)
        last_will = encode_status(self._own.now("offline", planned=False))
        client.will_set(publish_topic(self._device, "status"), last_will, qos=_QOS, retain=True)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        self._trouble.watch(client)
        return client

    def _publish_status(self, state: Literal["online", "offline"]) -> Callable[[], bool] | None:
        """Say it; what tells whether the broker took it, None if paho did not (no connection, too much waiting)."""
        told = encode_status(self._own.now(state, planned=True if state == "offline" else None))
        info = self._client.publish(publish_topic(self._device, "status"), told, qos=_QOS, retain=True)
        self._status_at = time.monotonic()
        self._status_unsure = self._clock.unsure
        return info.is_published if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def _pump(self) -> None:
        """Send again what is overdue, and fill the window. Called with our lock held, on either thread."""
        now = time.monotonic()
        overdue = self._window.overdue(now)
        due = [*overdue, *self._fresh()]
        if not due:
            return
        stored = {batch.id: batch for batch in due}
        published = self._outbox.publish(due)
        self._own.resent += len(overdue)
        self._window.gone([id_ for id_ in stored if id_ not in {entry.id for entry in published}])
        for entry in published:
            info = self._client.publish(publish_topic(self._device, entry.channel), entry.payload, qos=_QOS)
            withheld = info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
            if withheld and not self._withheld:
                log.warning("the broker withholds its PUBACKs; batches wait")
            self._withheld = withheld
            # What paho did not take waits as what got lost: this must not turn fast.
            self._window.sent(stored[entry.id], now)
        log_published(entry.key for entry in published)

    def _fresh(self) -> Sequence[StoredBatch]:
        if not self._window.free or self._clock.unsure:
            return ()
        limit = self._window.size  # those in flight are among them
        return self._window.next(
            newest=self._outbox.waiting("readings", limit, newest_first=True),
            events=self._outbox.waiting("events", limit),
            oldest=self._outbox.waiting("readings", limit),
        )

    def _on_connect(
        self, client: Client, _userdata: object, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._is_over(client):
            return
        with self._guard():
            if reason.is_failure:
                log.warning("the broker refused the connection: %s; check mqtt.username and certificate", reason)
                return
            self._trouble.connected()
            self._pauses.connected()
            log.info("connected to %s:%d (session %s)", self._mqtt.host, self._mqtt.port, flags.session_present)
            with self._lock:
                # The wipe by name too: for it alone a dongle is let in whose owner was erased, and with a wildcard not.
                commands = (
                    ()
                    if self.on_command is None
                    else (commands_topic(self._device, "+"), commands_topic(self._device, WIPE_KIND))
                )
                self._subscriptions.ask(client, (acks_topic(self._device), *commands))
                self._connected = True
                self._window.reconnected(time.monotonic())
                self._publish_status("online")
                self._pump()
            self._news.set()

    def _on_disconnect(
        self,
        client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._is_over(client):
            return
        with self._guard(), self._lock:
            if self._connected:
                log.info("disconnected from the broker: %s; %s batches wait", reason, self._outbox.pending_batches())
            else:
                self._trouble.dropped()
            self._connected = False
            self._draw_pause(client)
            self._renew_tls()

    def _on_subscribe(
        self,
        client: Client,
        _userdata: object,
        packet: int,
        codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if self._is_over(client):
            return
        with self._guard(), self._lock:
            self._subscriptions.answered(packet, codes, time.monotonic())

    def _on_connect_fail(self, client: Client, _userdata: object) -> None:
        if self._is_over(client):
            return
        with self._guard():
            self._trouble.failed()
            self._draw_pause(client)
            self._renew_tls()

    def _draw_pause(self, client: Client) -> None:
        """Before the next attempt: paho's own pauses are the same on every dongle."""
        pause = self._pauses.next()
        client.reconnect_delay_set(pause, pause)  # type: ignore[arg-type]  # paho says int, compares and sleeps

    def _renew_tls(self) -> None:
        if self._tls is not None:
            self._tls.renew()

    def _on_message(self, client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._is_over(client):
            return
        with self._guard():
            command = command_of(self._device, message.topic)
            if command is not None:
                if self.on_command is not None:
                    self.on_command(command, bytes(message.payload))
                return
            try:
                ack = decode_ack(self._device, bytes(message.payload))
            except WireError as error:
                log.warning("ignored a message on %s: %s", message.topic, error)
                return
            log_acknowledged(ack)
            with self._lock:
                self._window.acknowledged(self._outbox.acknowledge(ack), time.monotonic())
                if self._connected:
                    self._pump()
            self._news.set()

    def _is_over(self, client: Client) -> bool:
        """Whether a callback comes from a client that was stopped; its thread may outlive it."""
        return self._stopped or client is not self._client

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Keep what goes wrong on the network thread for the agent's thread."""
        try:
            yield
        except BaseException as error:
            self._failure = error
            self._news.set()
            raise
