"""From the configuration to who looks after the certificate, and the files the uplink shows."""

from dataclasses import replace

from edge_agent.clock import Clock
from edge_agent.config import AgentConfig, MqttConfig
from edge_agent.enrolment.port import Keeping, Unmanaged


def build_identity(config: AgentConfig, clock: Clock) -> tuple[Keeping, MqttConfig]:
    """With ``enrolment`` the agent's own pair stands in place of a flashed one; without, all stays as configured."""
    if config.enrolment is None or config.mqtt.tls is None:
        return Unmanaged(), config.mqtt
    from edge_agent.enrolment.keeper import IdentityKeeper  # with processes: only where it is wanted

    keeper = IdentityKeeper(device=config.device, config=config.enrolment, flashed=config.mqtt.tls, clock=clock)
    pair = config.enrolment.folder / "identity.pem"
    return keeper, replace(config.mqtt, tls=replace(config.mqtt.tls, certificate=pair, key=pair, awaited=True))
