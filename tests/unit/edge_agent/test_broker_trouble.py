"""What a failed connection is said to mean; the TLS errors themselves are met in the integration test."""

import logging
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, LogLevel

from edge_agent.broker_trouble import CLOSED, BrokerTrouble, explain
from edge_agent.config import MqttConfig, TlsConfig

MQTT = MqttConfig(host="broker.example", port=8883, tls=TlsConfig(ca=Path("ca.pem"), certificate=Path("device.pem")))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (socket.gaierror(-2, "Name or service not known"), "the name broker.example cannot be resolved"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens at broker.example:8883"),
        ("certificate verify failed: certificate has expired (_ssl.c:1)", "the broker's certificate has expired, or"),
        ("certificate verify failed: certificate is not yet valid", "is the clock of this machine right"),
        ("certificate verify failed: IP address mismatch, certificate is", "certificate is not for broker.example"),
        ("certificate verify failed: self-signed certificate in chain", "is not of the authority in ca.pem"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert", "the broker wants to see a certificate"),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired", "this device's certificate has exp"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", "does not accept the certificate device.pem"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "no TLS is spoken at broker.example:8883"),
        (TimeoutError("timed out"), "timed out: is there a network, and a way to broker.example:8883"),
        (OSError(101, "Network is unreachable"), "is there a network"),
        (CLOSED, "is there a network"),
    ],
)
def test_each_error_has_a_meaning_and_keeps_its_words(error: BaseException | str, meaning: str) -> None:
    told = explain(error, MQTT)
    assert meaning in told
    assert isinstance(error, ConnectionRefusedError) or str(error) in told


def test_without_a_file_the_systems_list_is_named() -> None:
    told = explain("certificate verify failed: unable to get local issuer", replace(MQTT, tls=TlsConfig()))
    assert "of the authority in this system's list" in told


def test_a_trouble_is_told_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(CallbackAPIVersion.VERSION2)
    trouble = BrokerTrouble(MQTT)
    trouble.watch(client)

    def paho_says(text: str, level: LogLevel = LogLevel.MQTT_LOG_ERR) -> None:
        assert client.on_log is not None
        client.on_log(client, None, level, text)

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            paho_says("failed to receive on socket: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")
            trouble.dropped()  # what follows it tells nothing more
        paho_says("failed to receive on socket: nothing of note", LogLevel.MQTT_LOG_DEBUG)
        paho_says("Caught exception in on_message: of ours")
        trouble.connected()
        trouble.dropped()
    client._reset_sockets()  # paho's own pair, left open by a client that never ran
    assert ["unknown ca" in record.message for record in caplog.records] == [True, False]
