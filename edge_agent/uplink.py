"""Outbox -> MQTT: publishes what is not acknowledged, oldest first, in a bounded window, until the backend has it.

The broker's PUBACK decides nothing here. A batch leaves the outbox when an acknowledgement arrives on ``acks``; until
then it is published again, with growing pauses. Oldest first over all boots: events and the samples around them
reach the backend in the order they happened, at the price that after a long outage the present comes last.

Threads. paho's network thread calls ``_on_*``; the agent's thread calls :meth:`tick`. Both end in :meth:`_pump`.
Order of locks: ours, then the outbox's or paho's; paho holds none that :meth:`publish` needs while it calls us, and
``on_publish`` (called under paho's message lock) is not used. An error in a callback is kept and raised from
:meth:`tick`: paho's thread cannot die unnoticed.
"""

import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Final, Literal, Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.clock import Clock
from edge_agent.config import MqttConfig, UplinkConfig
from edge_agent.errors import UplinkError
from edge_agent.outbox import Outbox, StoredBatch
from telemetry.commands import CommandKind
from telemetry.errors import WireError
from telemetry.records import DeviceStatus
from telemetry.topics import acks_topic, command_of, commands_topic, publish_topic, results_topic
from telemetry.wire import decode_ack, encode_status

log = logging.getLogger(__name__)

MAX_RESEND_SECONDS: Final = 300.0
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


@dataclass(kw_only=True)
class _Flight:
    attempts: int
    resend_at: float  # monotonic seconds


class Window:
    """Which batches are in flight, and when to send them again. Pure: time comes as an argument, in seconds."""

    def __init__(self, *, size: int, ack_timeout_seconds: float, jitter: Callable[[], float] = random.random) -> None:
        self.size = size
        self._ack_timeout = ack_timeout_seconds
        self._jitter = jitter
        self._flights: dict[int, _Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def due(self, oldest: Sequence[StoredBatch], now: float) -> tuple[StoredBatch, ...]:
        """Of the oldest batches (at most ``size``), those to publish now; what is not among them is forgotten."""
        oldest = oldest[: self.size]
        present = {batch.id for batch in oldest}
        self._flights = {id_: flight for id_, flight in self._flights.items() if id_ in present}
        return tuple(
            batch for batch in oldest if batch.id not in self._flights or self._flights[batch.id].resend_at <= now
        )

    def sent(self, batch: StoredBatch, now: float) -> None:
        """It was published: expect its acknowledgement, each time twice as long, with jitter."""
        attempts = self._flights[batch.id].attempts + 1 if batch.id in self._flights else 1
        pause = min(self._ack_timeout * 2 ** min(attempts - 1, 20), MAX_RESEND_SECONDS)
        self._flights[batch.id] = _Flight(attempts=attempts, resend_at=now + pause * (1 + 0.25 * self._jitter()))

    def acknowledged(self, ids: Sequence[int]) -> None:
        """They are no longer in flight."""
        for id_ in ids:
            self._flights.pop(id_, None)

    def reconnected(self, now: float) -> None:
        """A new connection: paho sends what had no PUBACK by itself; everything else is due one timeout from now."""
        for flight in self._flights.values():
            flight.attempts = 1
            flight.resend_at = now + self._ack_timeout

    def next_due(self) -> float:
        """When the next resend is due, in monotonic seconds; infinity if nothing is in flight."""
        return min((flight.resend_at for flight in self._flights.values()), default=float("inf"))


def _send_at_once(_client: Client, _userdata: object, connection: object) -> None:
    """Without Nagle's algorithm: it holds a small packet back until the last one is acknowledged, some 40 ms each."""
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class MqttUplink:
    """The uplink over MQTT 3.1.1 with a persistent session, so that acknowledgements wait for a device away."""

    def __init__(self, *, device: str, mqtt: MqttConfig, uplink: UplinkConfig, outbox: Outbox, clock: Clock) -> None:
        self.on_command: Callable[[str, bytes], None] | None = None  # on the network thread; set before start()
        self._device = device
        self._mqtt = mqtt
        self._outbox = outbox
        self._clock = clock
        self._window = Window(size=uplink.window, ack_timeout_seconds=uplink.ack_timeout_seconds)
        self._lock = threading.RLock()
        self._connected = False
        self._failure: BaseException | None = None
        self._news = threading.Event()  # an acknowledgement arrived, or the connection came up
        self._status_at = float("-inf")
        self._stopped = False
        self._withheld = False  # the broker withholds PUBACKs
        self._client = self._build(uplink)

    def start(self) -> None:
        """Connect in the background, again and again with growing pauses."""
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
            if len(self._window) < self._window.size or moment >= self._window.next_due():
                self._pump()
            if moment - self._status_at >= STATUS_EVERY_SECONDS:
                self._publish_status("online")

    def publish_result(self, kind: CommandKind, payload: bytes) -> None:
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
        ending = threading.Thread(target=self._client.loop_stop, name="end of the network thread", daemon=True)
        ending.start()
        ending.join(NETWORK_END_SECONDS)

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
        client.reconnect_delay_set(uplink.reconnect_min_seconds, uplink.reconnect_max_seconds)  # type: ignore[arg-type]  # paho says int, compares and sleeps
        # paho never queues: the window is below its limit of messages in flight. The bound on what it holds is for a
        # broker that withholds PUBACKs while resends go on.
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(4 * uplink.window + 16)
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, self._mqtt.password)
        if self._mqtt.tls is not None:
            tls = self._mqtt.tls
            try:
                context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
                if tls.certificate is not None:
                    context.load_cert_chain(tls.certificate, tls.key)
            except (OSError, ssl.SSLError) as error:
                raise UplinkError(
                    f"TLS files {tls.ca}, {tls.certificate}, {tls.key} cannot be used: {error}; check mqtt.tls"
                ) from error
            client.tls_set_context(context)
        client.will_set(publish_topic(self._device, "status"), self._status("offline"), qos=_QOS, retain=True)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _status(self, state: Literal["online", "offline"]) -> bytes:
        return encode_status(
            DeviceStatus(
                device=self._device,
                boot=self._clock.boot,
                state=state,
                time=self._clock.now(),
                version=metadata.version("wearcast"),
                pending_batches=self._outbox.pending_batches(),
            )
        )

    def _publish_status(self, state: Literal["online", "offline"]) -> Callable[[], bool] | None:
        """Say it; what tells whether the broker took it, None if paho did not (no connection, too much waiting)."""
        info = self._client.publish(publish_topic(self._device, "status"), self._status(state), qos=_QOS, retain=True)
        self._status_at = time.monotonic()
        return info.is_published if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def _pump(self) -> None:
        """Fill the window. Called with our lock held, on either thread."""
        now = time.monotonic()
        due = self._window.due(self._outbox.oldest(self._window.size), now)
        if not due:
            return
        self._outbox.mark_published(due)
        for batch in due:
            payload = self._outbox.payload(batch)
            if payload is None:
                continue
            info = self._client.publish(publish_topic(self._device, batch.channel), payload, qos=_QOS)
            withheld = info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
            if withheld and not self._withheld:
                log.warning("the broker withholds its PUBACKs; batches wait")
            self._withheld = withheld
            self._window.sent(batch, now)  # what paho did not take waits as what got lost: this must not turn fast

    def _on_connect(
        self, client: Client, _userdata: object, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._stopped:
            return
        with self._guard():
            if reason.is_failure:
                log.warning("the broker refused the connection: %s; check mqtt.username and certificate", reason)
                return
            log.info("connected to %s:%d (session %s)", self._mqtt.host, self._mqtt.port, flags.session_present)
            with self._lock:
                client.subscribe(acks_topic(self._device), qos=_QOS)
                if self.on_command is not None:
                    client.subscribe(commands_topic(self._device, "+"), qos=_QOS)
                self._connected = True
                self._window.reconnected(time.monotonic())
                self._publish_status("online")
                self._pump()
            self._news.set()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._stopped:
            return
        with self._guard(), self._lock:
            if self._connected:
                log.info("disconnected from the broker: %s; %s batches wait", reason, self._outbox.pending_batches())
            self._connected = False

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._stopped:
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
            with self._lock:
                self._window.acknowledged(self._outbox.acknowledge(ack))
                if self._connected:
                    self._pump()
            self._news.set()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Keep what goes wrong on the network thread for the agent's thread."""
        try:
            yield
        except BaseException as error:
            self._failure = error
            self._news.set()
            raise
