"""A paho client for tests of brokers, which notes what happens to it."""

import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

HOST = "127.0.0.1"
# A deadline: on a busy machine things take longer, and NATS sends what was not acknowledged again after 30 s.
SECONDS = 60.0
WILL = b"will"  # what a last will says
_QUIET_SECONDS = 0.3  # how long is listened for what must not come

Event = tuple[Literal["connected", "refused", "disconnected"], str]


class NotingClient:
    """A paho client that notes what happens to it. It comes connected, or refused (see `events`)."""

    def __init__(
        self,
        port: int,
        *,
        client_id: str,
        subscribe: Sequence[str] = (),
        clean: bool = True,
        will: str | None = None,
        login: tuple[str, str] | None = None,  # name and password
        tls: ssl.SSLContext | None = None,
        again: bool = True,
    ) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.granted: dict[int, bool] = {}
        self.acknowledged: set[int] = set()
        self.events: list[Event] = []
        self._filters = subscribe
        self._again = again
        self._changed = threading.Condition()
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=again,
        )
        if tls is not None:
            self.mqtt.tls_set_context(tls)
        if login is not None:
            self.mqtt.username_pw_set(*login)
        if will is not None:
            self.mqtt.will_set(will, WILL, qos=1, retain=True)
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = lambda _c, _u, _f, code, _p: self._note(("disconnected", str(code)))
        self.mqtt.on_subscribe = lambda _c, _u, mid, codes, _p: self._do(
            lambda: self.granted.__setitem__(mid, not codes[0].is_failure)
        )
        self.mqtt.on_publish = lambda _c, _u, mid, _code, _p: self._do(lambda: self.acknowledged.add(mid))
        self.mqtt.on_message = lambda _c, _u, message: self._do(
            lambda: self.received.append((message.topic, bytes(message.payload)))
        )
        self.mqtt.reconnect_delay_set(1, 1)
        try:
            self.mqtt.connect(HOST, port)
        except (ssl.SSLError, OSError) as error:
            self._note(("refused", str(error)))
            self.mqtt._reset_sockets()  # paho leaves them to the garbage collector
            return
        self.mqtt.loop_start()
        self.until(lambda: self._has_begun)

    @property
    def _has_begun(self) -> bool:
        """Whether it is in with all its subscriptions, or refused; broken off, it is only where it does not try again.

        NATS keeps a connection waiting for a second and ends it, where another with its client id was taken over a
        moment before: also where that had only not been seen to end.
        """
        if self.is_connected:
            return len(self.granted) >= len(self._filters)
        return bool(self.events) and (not self._again or self.events[-1][0] == "refused" or self.connections > 0)

    @property
    def is_connected(self) -> bool:
        return bool(self.events) and self.events[-1][0] == "connected"

    @property
    def was_refused(self) -> bool:
        """Whether it never got in."""
        return bool(self.events) and all(event[0] != "connected" for event in self.events)

    @property
    def connections(self) -> int:
        return sum(event[0] == "connected" for event in self.events)

    @property
    def disconnections(self) -> int:
        return sum(event[0] == "disconnected" for event in self.events)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1 and wait for the broker's acknowledgement."""
        mid = self.mqtt.publish(topic, payload, qos=1, retain=retain).mid
        self.until(lambda: mid in self.acknowledged)

    def subscribe(self, topic: str) -> bool:
        """Ask for a subscription; whether it was granted."""
        _, mid = self.mqtt.subscribe(topic, qos=1)
        assert mid is not None
        self.until(lambda: mid in self.granted)
        return self.granted[mid]

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, SECONDS), (
                f"events {self.events}, received {self.received[-5:]}, granted {self.granted}"
            )

    def hears_nothing(self, seconds: float = _QUIET_SECONDS) -> bool:
        """Whether nothing has come, and nothing comes for a while."""
        with self._changed:
            return not self._changed.wait_for(lambda: bool(self.received), seconds)

    def hears_only(self, *messages: tuple[str, bytes], seconds: float = _QUIET_SECONDS) -> bool:
        """Whether these come, in this order, and nothing else for a while."""
        self.until(lambda: len(self.received) >= len(messages))
        with self._changed:
            self._changed.wait_for(lambda: len(self.received) > len(messages), seconds)
            return self.received == list(messages)

    def _on_connect(self, _client: object, _userdata: object, _flags: object, code: Any, _properties: object) -> None:
        if code.is_failure:
            self._note(("refused", str(code)))
            return
        for topic in self._filters:
            self.mqtt.subscribe(topic, qos=1)
        self._note(("connected", ""))

    def _note(self, event: Event) -> None:
        self._do(lambda: self.events.append(event))

    def _do(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def vanish(self) -> None:
        """Break the connection without a word, as a dongle out of coverage does."""
        socket = self.mqtt.socket()
        if self.mqtt._sockpairW is not None:
            self.mqtt._thread_terminate = True  # and wake its thread, which else looks at it once a second
            self.mqtt._sockpairW.send(b"0")
        self.mqtt.loop_stop()
        if socket is not None:
            socket.close()

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()
        self.mqtt._reset_sockets()
