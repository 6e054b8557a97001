"""Why the broker cannot be reached, in words an installer can act on. paho itself keeps it to its debug log.

A broker away is no error of the agent: everything waits in the outbox. But a wrong certificate does not mend itself.
"""

import logging
import re
import socket
import sys
from typing import Final

from paho.mqtt.client import Client
from paho.mqtt.enums import LogLevel

from edge_agent.config import MqttConfig

log = logging.getLogger(__name__)

CLOSED: Final = "it is closed before the broker has answered"
# What OpenSSL says -> what it means here. Alerts come from the broker, verification is ours.
_MEANINGS: Final = (
    (r"hostname mismatch|ip address mismatch", "the broker's certificate is not for {host}: give mqtt.host as it says"),
    (r"not yet valid", "the broker's certificate is not valid yet: is the clock of this machine right?"),
    (r"verify failed.*expired", "the broker's certificate has expired, or the clock of this machine is ahead"),
    (
        r"verify failed",
        "the broker's certificate is not of the authority in {ca}: is it the right broker, and is mqtt.tls.ca right?",
    ),
    (
        r"certificate.required|handshake.failure",
        "the broker wants to see a certificate: give mqtt.tls.certificate and mqtt.tls.key of this device",
    ),
    (r"alert.*certificate.expired", "this device's certificate has expired: make it a new one"),
    (
        r"unknown.ca|bad.certificate|certificate.unknown",
        "the broker does not accept the certificate {certificate}: it must be of the authority that the broker trusts",
    ),
    (r"wrong.version.number|record.layer.failure", "no TLS is spoken at {host}:{port}: 8883 is the usual port for it"),
)


def explain(error: BaseException | str, mqtt: MqttConfig) -> str:
    """What a failed connection means and what to do, in one sentence."""
    said = str(error)
    if isinstance(error, socket.gaierror):
        return f"the name {mqtt.host} cannot be resolved ({said}): is there a network, is mqtt.host right?"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {mqtt.host}:{mqtt.port}: is the broker running, are mqtt.host and mqtt.port right?"
    tls = mqtt.tls
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, said.lower().replace("_", " ")):
            told = meaning.format(
                host=mqtt.host,
                port=mqtt.port,
                ca=(tls and tls.ca) or "this system's list",
                certificate=(tls and tls.certificate) or "",
            )
            return f"{told} ({said})"
    if mqtt.tls is None and said == CLOSED:
        return f"{said}: does the broker want TLS at {mqtt.host}:{mqtt.port}? Then mqtt.tls is missing"
    return f"{said}: is there a network, and a way to {mqtt.host}:{mqtt.port}?"


class BrokerTrouble:
    """Tells each trouble once, until a connection has come about in between."""

    def __init__(self, mqtt: MqttConfig) -> None:
        self._mqtt = mqtt
        self._told: str | None = None

    def watch(self, client: Client) -> None:
        """Be told by the client, on its network thread, what it says to its log alone."""
        client.on_log = self._logged

    def connected(self) -> None:
        """It works: the next trouble is a new one."""
        self._told = None

    def dropped(self) -> None:
        """A connection ended before the broker had answered. Why, it may have said already."""
        if self._told is None:
            self._tell(explain(CLOSED, self._mqtt))

    def failed(self) -> None:
        """A connection did not come about; to be called while paho handles why."""
        self._tell(explain(sys.exc_info()[1] or "the connection failed", self._mqtt))

    def _logged(self, _client: Client, _userdata: object, level: int, text: str) -> None:
        # An alert of the broker comes after the handshake, when paho reads; it says so nowhere but here.
        if level == LogLevel.MQTT_LOG_ERR and "failed to receive on socket" in text:
            self._tell(explain(text.removeprefix("failed to receive on socket: "), self._mqtt))

    def _tell(self, trouble: str) -> None:
        if trouble != self._told:
            log.warning("no connection to the broker: %s", trouble)
        self._told = trouble
