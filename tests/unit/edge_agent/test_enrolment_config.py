"""The section ``enrolment`` of agent.yaml, and what the uplink shows with it."""

from pathlib import Path

import pytest

from edge_agent.config import AgentConfig, EnrolmentConfig, load_config
from edge_agent.enrolment.build import build_identity
from edge_agent.enrolment.port import Unmanaged
from edge_agent.errors import ConfigurationError
from edge_agent.testing import FakeClock

BASE = "device: car-1\nsource: {kind: replay_csv, path: trip.csv}\n"
TLS = "mqtt: {tls: {ca: ca.pem}}\n"


def loaded(folder: Path, text: str) -> AgentConfig:
    path = folder / "agent.yaml"
    path.write_text(BASE + text, encoding="utf-8")
    return load_config(path, {})


def test_everything_but_the_service_has_a_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, TLS + "enrolment: {url: 'https://enrol.example:8443/'}\n")
    assert config.enrolment == EnrolmentConfig(
        url="https://enrol.example:8443", folder=Path("/var/lib/wearcast/identity"), ca=tmp_path / "ca.pem"
    )


def test_everything_can_be_said(tmp_path: Path) -> None:
    text = "enrolment: {url: 'https://e', folder: id, ca: other.pem, token_file: token, retry_min: 1s, retry_max: 1h}\n"
    config = loaded(tmp_path, TLS + text)
    assert config.enrolment == EnrolmentConfig(
        url="https://e",
        folder=tmp_path / "id",
        ca=tmp_path / "other.pem",
        token_file=tmp_path / "token",
        retry_min_seconds=1,
        retry_max_seconds=3600,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("enrolment: {url: 'https://e'}\n", r"enrolment\.url: a certificate is of use with TLS alone"),
        (TLS + "enrolment: {url: 'http://e'}\n", r"enrolment\.url: give it as https"),
        (TLS + "enrolment: {url: 'https://car-1:token@e'}\n", "the token has a file of its own"),
        (TLS + "enrolment: {url: 'https://e', retry_min: 2h}\n", "below retry_min"),
        (TLS + "enrolment: {url: 'https://e', token: x}\n", "token"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        loaded(tmp_path, text)


def test_the_uplink_shows_the_agents_own_pair(tmp_path: Path) -> None:
    config = loaded(tmp_path, TLS + "enrolment: {url: 'https://e', folder: id}\n")
    keeper, mqtt = build_identity(config, FakeClock())
    assert not keeper.present
    assert mqtt.tls is not None
    assert mqtt.tls.certificate == mqtt.tls.key == tmp_path / "id" / "identity.pem"
    assert mqtt.tls.ca == tmp_path / "ca.pem"
    without, same = build_identity(loaded(tmp_path, TLS), FakeClock())
    assert isinstance(without, Unmanaged)
    assert without.present
    assert same == loaded(tmp_path, TLS).mqtt
