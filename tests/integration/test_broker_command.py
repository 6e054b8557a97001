"""`wearcast broker`: folders as the brokers' own programs read them, who may read them, and what a refusal leaves."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingest import registry
from ingest.brokers import nats
from ingest.brokers.access import read_access
from ingest.brokers.branch import Access
from ingest.brokers.folder import read_setup
from ingest.brokers.reload import apply
from ingest.database import Connection
from ingest.errors import BrokerError
from ingest.sources.nats_connection import NatsConfig, nats_connection
from ingest.sources.nats_stream import StreamLimits, find_consumer, prepare
from telemetry.subject import service_subject
from tests.integration.ingest_support import register_car
from tests.noting_client import HOST
from tests.security.fortress import SERVICE, Fortress, fortress_of
from wearcast.cli import app
from wearcast.embedded.nats import _server

Run = Callable[..., Result]

pytestmark = [pytest.mark.broker, pytest.mark.database]


@pytest.fixture
def run(database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WEARCAST_DATABASE_URL", database_url)
    for device in ("car-1", "car-2"):
        register_car(connection, device)

    def runner(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["broker", *map(str, arguments)])

    return runner


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """Certificates, as options: those of a broker that runs no longer."""
    with fortress_of("nats", tmp_path) as running:
        tls = running.tls
    return [
        "--certificate", tls.certificate, "--key", tls.key, "--ca", tls.ca,
        "--data", tmp_path / "data", "--pid-file", tmp_path / "pid",
    ]  # fmt: skip


def checked_by_the_server(folder: Path) -> str:
    done = subprocess.run([_server(), "-t", "-c", folder / nats.MAIN_FILE], capture_output=True, text=True, check=False)
    return done.stderr + done.stdout


def test_nats_takes_what_is_written_for_one_node_and_for_three(run: Run, files: list[object], tmp_path: Path) -> None:
    out = tmp_path / "one"
    result = run("config", "nats", "--out", out, *files)
    assert result.exit_code == 0, result.output
    assert "is valid" in checked_by_the_server(out)
    assert "CN=car-2" in (out / nats.USERS_FILE).read_text()
    nodes = [f"--node={name}=127.0.0.1:{6222 + number}" for number, name in enumerate("abc")]
    result = run("config", "nats-cluster", "--out", tmp_path / "three", *nodes, *files)
    assert result.exit_code == 0, result.output
    secret = (tmp_path / "three" / "routes.password").read_text().strip()
    assert all(secret in (tmp_path / "three" / name / nats.MAIN_FILE).read_text() for name in "abc")
    for name in "abc":
        assert "is valid" in checked_by_the_server(tmp_path / "three" / name)
    result = run("config", "nats-cluster", "--out", tmp_path / "two", *nodes[:2], *files)
    assert isinstance(result.exception, BrokerError)


def test_only_its_owner_can_read_a_folder(run: Run, files: list[object], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        results = [run("config", kind, "--out", tmp_path / kind, *files) for kind in ("nats", "mosquitto")]
    finally:
        os.umask(before)
    for kind, result in zip(("nats", "mosquitto"), results, strict=True):
        folder = tmp_path / kind
        assert folder.stat().st_mode & 0o077 == 0
        assert [file.name for file in folder.iterdir() if file.stat().st_mode & 0o077] == []
        passwords = {file.read_text().strip() for file in folder.glob("*.password")}
        assert bool(passwords) == (kind == "mosquitto")
        assert not any(password in result.output for password in passwords)
    others = [file.read_text() for file in (tmp_path / "mosquitto").iterdir() if file.suffix != ".password"]
    hashed = [file.read_text().strip() for file in (tmp_path / "mosquitto").glob("*.password")]
    assert not any(password in text for password in hashed for text in others)


def test_writing_again_keeps_the_passwords(run: Run, files: list[object], tmp_path: Path) -> None:
    out = tmp_path / "broker"
    run("config", "mosquitto", "--out", out, *files)
    first = (out / "ingest.password").read_text()
    run("config", "mosquitto", "--out", out, *files)
    assert (out / "ingest.password").read_text() == first


def test_apply_says_what_it_did(run: Run, files: list[object], connection: Connection, tmp_path: Path) -> None:
    out = tmp_path / "broker"
    run("config", "nats", "--out", out, *files)
    assert run("apply", out).output == "nothing changed\n"
    registry.update_device(connection, "car-2", enabled=False)
    assert "no broker runs" in run("apply", out).output
    assert "CN=car-2" not in (out / nats.USERS_FILE).read_text()
    assert isinstance(run("apply", tmp_path).exception, BrokerError)


def test_block_and_unblock(run: Run, connection: Connection) -> None:
    assert run("block", "car-2").exit_code == 0
    assert [device.device for device in read_access(connection).permitted] == ["car-1"]
    assert [device.device for device in read_access(connection).blocked] == ["car-2"]
    assert re.search(r"car-2 +by-hand", run("blocked").output)
    assert run("block", "car-2").exit_code == 1
    assert run("unblock", "car-2").exit_code == 0
    assert run("unblock", "car-2").exit_code == 1
    assert run("blocked").output == "nobody is kept out\n"


def test_what_the_server_refuses_changes_neither_file_nor_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fortress_of("nats", tmp_path, "car-1") as running:
        before = (running.folder / nats.USERS_FILE).read_text()
        monkeypatch.setattr("ingest.brokers.folder.nats.users_text", lambda *_: '{"users": [{"user": 1}]}')
        with pytest.raises(BrokerError, match="nats-server refuses"):
            apply(running.folder, read_setup(running.folder), Access(permitted=()))
        assert (running.folder / nats.USERS_FILE).read_text() == before
        assert running.reloads == 0
        assert not list(running.folder.glob("check-*"))


def test_a_process_id_of_something_else_is_not_signalled(tmp_path: Path) -> None:
    with fortress_of("nats", tmp_path, "car-1") as running, subprocess.Popen([sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE) as other:  # fmt: skip
        running.setup.pid_file.write_text(str(other.pid))
        running.permit()
        assert not apply(running.folder, running.setup, running.access).told
        assert other.poll() is None
        other.communicate(b"\n")


def test_no_secret_is_among_the_arguments_or_in_the_log(tmp_path: Path) -> None:
    with fortress_of("mosquitto", tmp_path, "car-1") as running:
        with running.service(), running.device("car-1"):
            said = _arguments(running) + running.process.output()
        passwords = [file.read_text().strip() for file in running.folder.glob("*.password")]
        assert len(passwords) == 2
        assert not any(password in said for password in passwords)


async def test_a_worker_of_many_gets_in_by_its_certificate_and_makes_no_streams(tmp_path: Path) -> None:
    with fortress_of("nats", tmp_path, "car-1") as running:
        limits = StreamLimits(replicas=1, most_bytes=1024**2)
        worker, administrator = (_nats_config(running, name) for name in (SERVICE, nats.ADMINISTRATOR))
        with pytest.raises(BrokerError):
            await prepare(worker, limits)
        await prepare(administrator, limits)
        async with nats_connection(worker, name="test") as opened:
            found = await find_consumer(opened.client)
            assert found.num_pending == 0
            with running.device("car-1") as device:
                device.publish("wearcast/v1/car-1/readings", b"stored")
            # The broker confirms what the stream has; the consumer counts it a moment later.
            for _ in range(400):
                if (await find_consumer(opened.client)).num_pending:
                    break
                await asyncio.sleep(0.05)
            assert (await find_consumer(opened.client)).num_pending == 1


def _nats_config(running: Fortress, service: str) -> NatsConfig:
    certificate, key = running.certificate(service_subject(service))
    return NatsConfig(
        servers=(f"tls://{HOST}:{running.services_port}",),
        ca_file=running.tls.ca,
        certificate_file=certificate,
        key_file=key,
    )


def _arguments(running: Fortress) -> str:
    return Path(f"/proc/{running.process.pid}/cmdline").read_bytes().decode().replace("\0", " ")
