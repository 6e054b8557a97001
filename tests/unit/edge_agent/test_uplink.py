"""The uplink over MQTT: what a wrong configuration says. Its window has tests of its own."""

from pathlib import Path

import pytest

from edge_agent.config import MqttConfig, TlsConfig, UplinkConfig
from edge_agent.errors import UplinkError
from edge_agent.outbox import Outbox
from edge_agent.testing import FakeClock
from edge_agent.uplink import MqttUplink


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    mqtt = MqttConfig(tls=TlsConfig(ca=tmp_path / "ca.pem"))
    with (
        Outbox.open(":memory:", device="car-1", max_bytes=1000) as outbox,
        pytest.raises(UplinkError, match=r"ca\.pem.*check mqtt\.tls"),
    ):
        MqttUplink(device="car-1", mqtt=mqtt, uplink=UplinkConfig(), outbox=outbox, clock=FakeClock())
