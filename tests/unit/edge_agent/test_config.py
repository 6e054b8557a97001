"""Configuration: what is read, and what the errors say."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent import build
from edge_agent.build import build_estimators, build_profile, build_source
from edge_agent.config import AgentConfig, MqttConfig, SourceConfig, TlsConfig, UplinkConfig, load_config
from edge_agent.errors import ConfigurationError
from edge_agent.sources.broadcast_mapping import CanMapping
from edge_agent.sources.replay_can import ReplayCanSource
from edge_agent.sources.replay_csv import ReplayCsvConfig, ReplayCsvSource
from edge_agent.tester.base import Connect
from edge_agent.tester.limits import Limits

MINIMAL = "device: car-1\nsource: {kind: replay_csv, path: trip.csv}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything_has_a_default_but_device_and_source(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL), {})
    assert config == AgentConfig(
        device="car-1",
        source=SourceConfig(kind="replay_csv", options={"path": "trip.csv"}),
        outbox_path=Path("/var/lib/wearcast/outbox.sqlite"),
        last_known_time_path=Path("/var/lib/wearcast/last-known-time"),
        estimate_seconds=21_600.0,
        origin=str(tmp_path / "agent.yaml"),
        folder=tmp_path,
    )


def test_everything_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    text = """
device: car-1
vehicle_profile: virtual_petrol
source: {kind: obd_can, interface: socketcan, channel: can0}
mqtt:
  host: broker.example
  username: car-1
  password_file: password
  keepalive: 1 min
  tls: {ca: ca.pem, certificate: car-1.pem, key: car-1.key}
outbox: {path: data/outbox.sqlite, max_size: 50 MB}
uplink: {window: 8, ack_timeout: 500ms, reconnect_min: 2s, reconnect_max: 30s}
form: json
batch: 5s
batch_samples: 30
estimates: 2 min
trip_gap: 5 min
drain: 10s
stop_grace: 1s
last_known_time: time
"""
    assert load_config(written(tmp_path, text), {}) == AgentConfig(
        device="car-1",
        vehicle_profile="virtual_petrol",
        source=SourceConfig(kind="obd_can", options={"interface": "socketcan", "channel": "can0"}),
        mqtt=MqttConfig(
            host="broker.example",
            port=8883,
            username="car-1",
            password="secret",  # noqa: S106 - of this test
            keepalive_seconds=60.0,
            tls=TlsConfig(ca=tmp_path / "ca.pem", certificate=tmp_path / "car-1.pem", key=tmp_path / "car-1.key"),
        ),
        outbox_path=tmp_path / "data" / "outbox.sqlite",
        outbox_max_bytes=50_000_000,
        uplink=UplinkConfig(window=8, ack_timeout_seconds=0.5, reconnect_min_seconds=2.0, reconnect_max_seconds=30.0),
        form="json",
        batch_seconds=5.0,
        batch_samples=30,
        estimate_seconds=120.0,
        trip_gap_seconds=300.0,
        drain_seconds=10.0,
        stop_grace_seconds=1.0,
        last_known_time_path=tmp_path / "time",
        origin=str(tmp_path / "agent.yaml"),
        folder=tmp_path,
    )


def test_the_password_may_come_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + "mqtt: {username: car-1}\n")
    config = load_config(path, {"WEARCAST_MQTT_PASSWORD": "secret"})
    assert config.mqtt.password == "secret"  # noqa: S105 - of this test
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: {kind: replay_csv}\n", "agent.yaml: device: is missing"),
        ("devise: car-1\nsource: {kind: replay_csv}\n", "agent.yaml: device: is missing; .* is it written 'devise'?"),
        ("device: car 1\nsource: {kind: replay_csv}\n", "agent.yaml: device: device id 'car 1'"),
        (MINIMAL + "batch: 10\n", "agent.yaml: batch: no unit, did you mean '10s'?"),
        (MINIMAL + "batch: 10 seconds\n", "agent.yaml: batch: '10 seconds' is no quantity such as '5s'"),
        (MINIMAL + "outbox: {max_size: 200}\n", "agent.yaml: outbox.max_size: no unit, did you mean '200MB'?"),
        (MINIMAL + "bacth: 10s\n", "agent.yaml: bacth: unknown key; did you mean 'batch'?"),
        (MINIMAL + "mqtt: {prot: 1883}\n", "agent.yaml: mqtt.prot: unknown key; did you mean 'port'?"),
        (MINIMAL + "mqtt: {port: 70000}\n", "agent.yaml: mqtt.port: 70000 is not a whole number from 1 to 65535"),
        (MINIMAL + "mqtt: {password: x}\n", "agent.yaml: mqtt.password: secrets do not belong here"),
        (MINIMAL + "mqtt: {username: x}\n", "agent.yaml: mqtt.username: has no password"),
        (MINIMAL + "mqtt: {username: x, password_file: none}\n", "mqtt.password_file: .*none cannot be read"),
        (MINIMAL + "mqtt: {tls: {certificate: a}}\n", "agent.yaml: mqtt.tls: certificate and key go together"),
        (MINIMAL + "uplink: {reconnect_max: 500ms}\n", "agent.yaml: uplink.reconnect_max: is below"),
        (MINIMAL + "form: compakt\n", "'compakt' is none of compact, json; did you mean 'compact'?"),
        ("device: a\nsource: {kind: replay_cvs}\n", "agent.yaml: source.kind: 'replay_cvs' .* mean 'replay_csv'?"),
        ("device: a\nsource: trip.csv\n", "agent.yaml: source: 'trip.csv' is not a section"),
        ("- device\n", "agent.yaml: a mapping is expected"),
        ("device: [\n", "agent.yaml: is not YAML"),
    ],
)
def test_errors_name_file_path_and_nearest_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        load_config(written(tmp_path, text), {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read"):
        load_config(tmp_path / "none.yaml", {})


def test_a_source_is_known_by_its_options(tmp_path: Path) -> None:
    one = SourceConfig(kind="replay_csv", options={"path": "a.csv", "start": datetime(2026, 1, 1, tzinfo=UTC)})
    same = SourceConfig(kind="replay_csv", options={"start": datetime(2026, 1, 1, tzinfo=UTC), "path": "a.csv"})
    other = SourceConfig(kind="replay_csv", options={"path": "b.csv"})
    assert one.identity == same.identity != other.identity


def test_a_csv_replay_is_built(tmp_path: Path) -> None:
    text = (
        "device: a\nsource: {kind: replay_csv, path: t.csv, start: 2026-01-31T08:00:00+01:00, period: 1s, speed: 10}\n"
    )
    source = build_source(load_config(written(tmp_path, text), {}), None)
    assert isinstance(source, ReplayCsvSource)
    assert source._config == ReplayCsvConfig(
        path=tmp_path / "t.csv", start=datetime(2026, 1, 31, 7, 0, tzinfo=UTC), period_seconds=1.0, speed=10.0
    )


def test_a_can_replay_is_built(tmp_path: Path) -> None:
    text = """
device: a
source:
  kind: replay_can
  path: drive.log.gz
  dbc: car.dbc
  period: 0s
  signals:
    - {message: SPEED, signal: SPEED, path: Vehicle.Speed}
    - {message: ENGINE, signal: RPM, path: Vehicle.Powertrain.CombustionEngine.Speed, factor: 0.25, offset: 1}
"""
    source = build_source(load_config(written(tmp_path, text), {}), None)
    assert isinstance(source, ReplayCanSource)
    assert source._config.mappings == (
        CanMapping(message="SPEED", signal="SPEED", path="Vehicle.Speed"),
        CanMapping(
            message="ENGINE", signal="RPM", path="Vehicle.Powertrain.CombustionEngine.Speed", factor=0.25, offset=1.0
        ),
    )
    assert (source._config.period_seconds, source._config.dbc) == (0.0, tmp_path / "car.dbc")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("path: a, strat: x", "agent.yaml: source.strat: unknown key; did you mean 'start'?"),
        ("path: a, start: 2026-01-31T08:00:00", "source.start: 2026-01-31T08:00:00 has no time zone"),
        ("path: a, start: today", "source.start: 'today' is not a time"),
        ("path: a, speed: 0", "source.speed: 0 is no factor above zero"),
        ("path: a, period: 0.5", "source.period: no unit, did you mean '0.5s'?"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, options: str, message: str) -> None:
    config = load_config(written(tmp_path, f"device: a\nsource: {{kind: replay_csv, {options}}}\n"), {})
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        build_source(config, None)


def test_the_profile_chooses_the_estimators(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL + "vehicle_profile: virtual_electric\n"), {})
    profile = build_profile(config)
    assert profile is not None
    names = {estimator.name for estimator in build_estimators(config, profile)}
    assert "traction_battery" in names
    assert "oil_life" not in names


def test_an_unknown_profile_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL + "vehicle_profile: virtual_electrik\n"), {})
    with pytest.raises(ConfigurationError, match=r"agent.yaml: vehicle_profile: .*'virtual_electric'"):
        build_profile(config)


def test_who_does_not_connect_needs_no_password(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("{device: car-1, source: {kind: replay_csv, path: x.csv}, mqtt: {username: car-1}}", "utf-8")
    assert load_config(path, {}, needs_password=False).mqtt.password is None
    with pytest.raises(ConfigurationError, match="has no password; set password_file"):
        load_config(path, {})


def test_a_car_is_recognised_within_the_configured_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Limits] = []

    def politely(connect: Connect, limits: Limits) -> Connect:
        kept.append(limits)
        return connect

    monkeypatch.setattr(build, "politely", politely)
    source = "{kind: obd_can, interface: virtual, channel: x, max_requests_per_s: 7, max_bus_percent: 2}"
    text = f"device: a\nvehicle_profile: auto\nsource: {source}\n"
    build_source(load_config(written(tmp_path, text), {}), None)
    assert kept == [Limits(requests_per_s=7, bus_share=0.02, bit_rate=250_000)]
