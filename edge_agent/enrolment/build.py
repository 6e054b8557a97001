"""From the configuration to who looks after the certificate, and the files the uplink shows."""

from dataclasses import replace

from edge_agent.clock import Clock
from edge_agent.config import AgentConfig, EnrolmentConfig, MqttConfig
from edge_agent.enrolment.identity import Identity
from edge_agent.enrolment.port import Keeping, Order, Unmanaged


def build_identity(config: AgentConfig, clock: Clock) -> tuple[Keeping, MqttConfig]:
    """Who looks after the certificate; and the connection that shows it."""
    if config.enrolment is None or config.mqtt.tls is None:
        return Unmanaged(), config.mqtt
    from edge_agent.enrolment.keeper import IdentityKeeper  # with processes: only where it is wanted

    keeper = IdentityKeeper(
        order=order_of(config.device, config.enrolment), config=config.enrolment, flashed=config.mqtt.tls, clock=clock
    )
    return keeper, shown_by(config)


def shown_by(config: AgentConfig) -> MqttConfig:
    """With ``enrolment`` the agent's own pair stands in place of a flashed one; without, all stays as configured."""
    if config.enrolment is None or config.mqtt.tls is None:
        return config.mqtt
    identity = Identity(config.enrolment.folder)
    tls = replace(config.mqtt.tls, certificate=identity.pair, key=identity.pair, awaited=True)
    if tls.ca is not None and tls.ca == config.enrolment.ca:  # one authority for both: what it names holds for both
        tls = replace(tls, more_ca=identity.anchors)
    return replace(config.mqtt, tls=tls)


def order_of(device: str, config: EnrolmentConfig) -> Order:
    """What an attempt is told."""
    return Order(
        device=device,
        url=config.url,
        ca=None if config.ca is None else str(config.ca),
        folder=str(config.folder),
        token_file=None if config.token_file is None else str(config.token_file),
    )
