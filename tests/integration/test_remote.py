"""A car asked from afar: token, record, broker with its permissions, a real agent on a virtual car, and back."""

import json
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner, Result

from edge_agent.agent import run_agent
from edge_agent.build import build_profile, build_source
from edge_agent.config import AgentConfig, MqttConfig, RemoteConfig, SourceConfig
from edge_agent.errors import SourceError
from edge_agent.profile_dids import did_documents
from edge_agent.sources.base import Reading, Source
from firmware_profiles.loader import load_vehicle_profile
from ingest.database import Connection
from ingest.outbound import commands
from telemetry.commands import CommandKind
from tests.integration.remote_support import DEVICE, NOW, grant
from tests.integration.test_uplink_broker import eventually
from tests.unit.edge_agent.obd_support import VIN, car_on, virtual_bus
from wearcast.cli import app
from wearcast.embedded.nats import Broker, BrokerUser, private_broker
from wearcast.embedded.processes import ManagedProcess

pytestmark = [pytest.mark.broker, pytest.mark.database]

# Whoever runs the tests in the background ignores Ctrl-C, and so would the process.
INTERRUPTIBLE = """
import signal
from wearcast.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A broker with its permissions, and the environment of somebody at the backend."""

    broker: Broker
    backend: BrokerUser
    device: BrokerUser
    environment: dict[str, str]

    def wearcast(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=self.environment)

    def wait_until_online(self) -> None:
        """Before that a first command finds no session: the broker knows the device from its first connection on."""
        online = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id="watch")
        client.username_pw_set(self.backend.name, self.backend.password)
        client.on_connect = lambda client, *_: client.subscribe(f"wearcast/v1/{DEVICE}/status", qos=1)
        client.on_message = lambda *_: online.set()
        client.connect(self.broker.host, self.broker.port)
        client.loop_start()
        assert online.wait(30)
        client.disconnect()
        client.loop_stop()

    @contextmanager
    def agent(
        self,
        tmp_path: Path,
        *,
        allow: frozenset[CommandKind] = frozenset(CommandKind),
        profile: str = "virtual_petrol",
        source: Source | None = None,
    ) -> Iterator[None]:
        """A device on a car that misfires, or on the source given."""
        bus = virtual_bus()
        config = AgentConfig(
            device=DEVICE,
            source=SourceConfig(
                kind="obd_can", options={"interface": "virtual", "channel": bus.channel, "timeout": "1s"}
            ),
            vehicle_profile=profile,
            outbox_path=tmp_path / "outbox.sqlite",
            mqtt=MqttConfig(
                host=self.broker.host, port=self.broker.port, username=self.device.name, password=self.device.password
            ),
            remote=RemoteConfig(allow=allow),
            stop_grace_seconds=0.1,
        )
        stop = threading.Event()
        source = source or build_source(config, build_profile(config))
        agent = threading.Thread(target=run_agent, args=(config, source, (), stop), name="agent")
        # It has all that is asked of it: what is absent would be waited for.
        own = did_documents(load_vehicle_profile("virtual_petrol"))
        with car_on(bus, faults=["misfire"], misfire_confirmed_after_s=0.1, dids=own):
            agent.start()
            try:
                self.wait_until_online()
                yield
            finally:
                stop.set()
                agent.join(30)
                assert not agent.is_alive()


@pytest.fixture
def scene(registered: Connection, database_url: str, tmp_path: Path) -> Iterator[Scene]:
    backend = BrokerUser.with_new_password("backend")
    device = BrokerUser.with_new_password(DEVICE, device=DEVICE)
    token = tmp_path / "token"
    token.write_text(grant(registered, now=datetime.now(UTC)))
    with private_broker(fresh=True, users=(backend, device)) as broker:
        yield Scene(
            broker=broker,
            backend=backend,
            device=device,
            environment={
                "WEARCAST_DATABASE_URL": database_url,
                "WEARCAST_BROKER_URL": f"mqtt://backend:{backend.password}@{broker.host}:{broker.port}",
                "WEARCAST_OPERATOR_TOKEN_FILE": str(token),
            },
        )


def test_codes_live_and_snapshot_of_a_car_that_drives(scene: Scene, registered: Connection, tmp_path: Path) -> None:
    with scene.agent(tmp_path):

        def codes() -> list[str]:
            answer = scene.wearcast("remote", DEVICE, "dtc", "--json", "--wait", "30")
            assert answer.exit_code == 0, answer.output
            return [entry["code"] for entry in json.loads(answer.stdout)["trouble_codes"]]

        eventually(lambda: codes() == ["P0301"], "the misfire is told")
        table = scene.wearcast("remote", DEVICE, "dtc", "--language", "zh")
        assert "P0301" in table.stdout
        snapshot = json.loads(scene.wearcast("remote", DEVICE, "snapshot", "--json").stdout)
        assert snapshot["values"]["Vehicle.Powertrain.CombustionEngine.Speed"]["value"] >= 0
        assert VIN not in json.dumps(snapshot)
        live = scene.wearcast("remote", DEVICE, "live", "--seconds", "2", "--json")
        assert live.exit_code == 0
        parts = [json.loads(line) for line in live.stdout.splitlines()]
        # A part holds what was read since the one before; the last may be of a moment, and hold little.
        assert any("Vehicle.Powertrain.CombustionEngine.Speed" in part["values"] for part in parts)
    log = json.loads(scene.wearcast("operators", "log", "--json").stdout)
    assert {entry["state"] for entry in log} == {"done"}
    assert {entry["operator"] for entry in log} == {"anna"}
    assert {entry["kind"] for entry in log} == {"dtc", "live", "snapshot"}
    assert next(entry for entry in log if entry["kind"] == "live")["parts"] == len(parts)


def test_codes_are_read_when_asked_also_where_the_profile_was_recognised(scene: Scene, tmp_path: Path) -> None:
    with scene.agent(tmp_path, profile="auto"):

        def answer() -> Result:
            return scene.wearcast("remote", DEVICE, "dtc", "--json", "--wait", "30")

        eventually(lambda: answer().exit_code == 0, "the car is found")  # before, it has no ECU to ask
        told = json.loads(answer().stdout)
        assert told["note"] is None, "read now, and not those of the last time"


class GoneSource:
    """An adapter that is not there."""

    def open(self) -> None:
        raise SourceError("pulled out")

    def poll(self) -> Reading | None:
        raise AssertionError("it never opened")

    def close(self) -> None:
        pass


def test_where_the_adapter_is_gone_every_question_is_answered_within_its_time(
    scene: Scene, registered: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.remote.desk.CODES_WITHIN_MS", 2000)
    with scene.agent(tmp_path, source=GoneSource()):
        codes = scene.wearcast("remote", DEVICE, "dtc", "--wait", "30")
        live = scene.wearcast("remote", DEVICE, "live", "--seconds", "1", "--wait", "30")
        snapshot = scene.wearcast("remote", DEVICE, "snapshot", "--wait", "30")
    assert (codes.exit_code, live.exit_code, snapshot.exit_code) == (1, 1, 0)
    assert "the car did not give its codes now, and none were read before" in codes.stderr
    assert "the car gave no values in that time" in live.stderr
    assert "nothing has been read since this agent started" in snapshot.stdout
    assert {entry.state for entry in commands.commands(registered)} == {"failed", "done"}


def test_a_broker_that_cannot_be_reached_is_named_and_recorded(scene: Scene, registered: Connection) -> None:
    scene.broker.stop()
    answer = scene.wearcast("remote", DEVICE, "dtc", "--wait", "10")
    assert "WEARCAST_BROKER_URL" in str(answer.exception)
    assert scene.backend.password is not None
    assert scene.backend.password not in str(answer.exception)
    (entry,) = commands.commands(registered)
    assert entry.state == "failed"
    assert "cannot be used" in (entry.reason or "")


def test_a_broker_that_takes_the_connection_and_says_nothing_is_no_device_that_is_away(
    scene: Scene, registered: Connection
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        scene.environment["WEARCAST_BROKER_URL"] = f"mqtt://127.0.0.1:{mute.getsockname()[1]}"
        answer = scene.wearcast("remote", DEVICE, "dtc", "--wait", "1")
    assert "cannot be used" in str(answer.exception)
    assert "did not answer" not in str(answer.exception)
    assert commands.commands(registered)[0].state == "failed"


def test_whoever_does_not_wait_leaves_a_record(scene: Scene, registered: Connection) -> None:
    asking = ManagedProcess.start(
        [sys.executable, "-c", INTERRUPTIBLE, "remote", DEVICE, "dtc", "--wait", "60"],
        name="remote",
        log_path=Path(scene.environment["WEARCAST_OPERATOR_TOKEN_FILE"]).with_name("remote.log"),
        env=scene.environment,
    )
    try:
        eventually(lambda: bool(commands.commands(registered)), "it is recorded")
        asking.send_signal(signal.SIGINT)
        eventually(lambda: not asking.alive, "Ctrl-C ends it")
    finally:
        asking.kill()
    assert "Traceback" not in asking.output()
    (entry,) = commands.commands(registered)
    assert (entry.state, entry.reason) == ("timed_out", "whoever asked did not wait for the answer")


def test_a_database_that_goes_away_is_named(scene: Scene, connection: Connection) -> None:
    def cut() -> bool:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'wearcast-remote' AND EXISTS (SELECT FROM device_command)"
        )
        return connection.execute(query).fetchone() is not None

    cutting = threading.Thread(target=eventually, args=(cut, "somebody asks"))
    cutting.start()
    answer = scene.wearcast("remote", DEVICE, "dtc", "--wait", "5")
    cutting.join()
    assert "the database went away" in str(answer.exception)


def test_a_database_of_another_version_is_named(scene: Scene, connection: Connection) -> None:
    connection.execute("ALTER TABLE operator_grant RENAME TO former")
    answer = scene.wearcast("remote", DEVICE, "dtc", "--wait", "1")
    assert "wearcast db migrate" in str(answer.exception)


def test_what_the_device_does_not_let_in_is_refused(scene: Scene, registered: Connection, tmp_path: Path) -> None:
    with scene.agent(tmp_path, allow=frozenset({CommandKind.DTC})):
        answer = scene.wearcast("remote", DEVICE, "snapshot", "--wait", "30")
    assert answer.exit_code == 1
    assert "refused: snapshot is not among remote.allow" in answer.stderr
    assert commands.commands(registered)[0].state == "refused"


def test_a_broker_that_restarts_is_no_end_of_asking(scene: Scene, tmp_path: Path) -> None:
    with scene.agent(tmp_path):
        assert scene.wearcast("remote", DEVICE, "snapshot", "--wait", "30").exit_code == 0
        scene.broker.kill()
        assert scene.wearcast("remote", DEVICE, "snapshot", "--wait", "2").exit_code == 1
        scene.broker.restart()
        eventually(lambda: scene.wearcast("remote", DEVICE, "snapshot", "--wait", "5").exit_code == 0, "it is back")


def test_neither_password_nor_token_is_logged(scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), scene.agent(tmp_path):
        answer = scene.wearcast("-v", "remote", DEVICE, "snapshot", "--wait", "30")
    assert answer.exit_code == 0
    logged = caplog.text + answer.output
    assert "asked from afar: snapshot" in logged
    assert scene.backend.password is not None
    assert scene.device.password is not None
    for secret in (scene.backend.password, scene.device.password, (tmp_path / "token").read_text()):
        assert secret not in logged


def test_a_device_that_is_away_is_named_and_recorded(scene: Scene, registered: Connection) -> None:
    registered.execute(
        "INSERT INTO device_status (device_id, boot, state, time, version, pending_batches)"
        " VALUES (%s, gen_random_uuid(), 'offline', %s, '0', 0)",
        [DEVICE, NOW],
    )
    answer = scene.wearcast("remote", DEVICE, "dtc", "--wait", "5")
    assert answer.exit_code == 1
    assert "has been offline since 2026-06-01 12:00:00" in str(answer.exception)
    (entry,) = commands.commands(registered)
    assert (entry.state, entry.answer) == ("timed_out", None)
    assert "offline since" in (entry.reason or "")


def test_without_a_valid_token_nothing_is_sent(scene: Scene, registered: Connection, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("guessed")
    answer = scene.wearcast("remote", DEVICE, "dtc", "--wait", "1")
    assert answer.exit_code == 1
    assert "not known" in str(answer.exception)
    assert commands.commands(registered)[0].state == "denied"
