"""A dongle's whole life with the real processes: flashed with a token, enrolled, renewed, revoked.

Meanwhile every process's arguments are looked at: no secret may be among them, nor in any log.
"""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
import yaml
from typer.testing import CliRunner

from tests.acceptance.acceptance_support import ROOT, START_SECONDS, Site, count, run_wearcast, wait_until
from tests.acceptance.conftest import _database
from wearcast.cli import app
from wearcast.embedded.nats import BrokerTls, BrokerUser, private_broker
from wearcast.embedded.ports import free_port
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

DEVICE = "car-7"
DAYS = "0.00012"  # some ten seconds: a certificate is renewed after six to eight of them


class Arguments:
    """Arguments of all processes of this machine, gathered while it runs."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._gather)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _gather(self) -> None:
        while not self._stop.wait(0.1):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(file.read_bytes())


def command(*arguments: str | Path) -> None:
    """A command that needs no database, in this process: what it is for is not what is watched here."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output


@pytest.fixture
def site(server: Database, tmp_path: Path) -> Iterator[Site]:
    """A site whose broker speaks mutual TLS alone, with certificates made by our own commands."""
    command("enrolment", "authority", "--out", tmp_path / "root")
    command("enrolment", "authority", "--root", tmp_path / "root", "--out", tmp_path / "authority")
    command("enrolment", "server", "127.0.0.1", "--ca", tmp_path / "authority", "--out", tmp_path / "tls")
    tls = BrokerTls(
        certificate=tmp_path / "tls" / "127.0.0.1.pem",
        key=tmp_path / "tls" / "127.0.0.1-key.pem",
        ca=tmp_path / "authority" / "ca.pem",
    )
    users = [BrokerUser(name="service.ingest"), BrokerUser(name=f"{DEVICE},OU=g1", device=DEVICE)]
    with _database(server) as url, private_broker(fresh=True, users=users, tls=tls) as broker:
        site = TlsSite(folder=tmp_path, database_url=url, broker=broker)
        try:
            yield site
        finally:
            site.stop_all()


class TlsSite(Site):
    """Its backend signs in with a certificate."""

    def environment(self, device: str | None = None) -> dict[str, str]:
        tls = self.folder / "tls"
        return {
            **super().environment(device),
            "WEARCAST_BROKER_URL": f"mqtts://{self.broker.host}:{self.broker.port}",
            "WEARCAST_BROKER_CA": str(self.folder / "authority" / "ca.pem"),
            "WEARCAST_BROKER_CERTIFICATE": str(tls / "ingest.pem"),
            "WEARCAST_BROKER_KEY": str(tls / "ingest-key.pem"),
        }


def flash(site: Site, token: str, url: str) -> Path:
    """What lies on the dongle: a token, the authority, and a recording to send."""
    folder = site.folder / "dongle"
    folder.mkdir()
    (folder / "token").write_text(token)
    (folder / "ca.pem").write_bytes((site.folder / "authority" / "ca.pem").read_bytes())
    # Longer than the test lasts on a busy machine: an agent whose recording is over and stored ends.
    rows = "".join(f"2026-01-31T08:{at // 60:02d}:{at % 60:02d}Z,{at % 60}\n" for at in range(600))
    (folder / "trip.csv").write_text(f"time,Vehicle.Speed\n{rows}")
    config = {
        "device": DEVICE,
        "source": {"kind": "replay_csv", "path": "trip.csv", "speed": 1},
        "mqtt": {"host": site.broker.host, "port": site.broker.port, "tls": {"ca": "ca.pem"}},
        "enrolment": {
            "url": url,
            "folder": "identity",
            "token_file": "token",
            # Asked again soon also by who was given too many, on a machine so busy that minutes go by.
            "retry_min": "500ms",
            "retry_max": "2s",
            "refused": "1s",
        },
        "outbox": {"path": "outbox.sqlite"},
        "uplink": {"reconnect_min": "100ms", "reconnect_max": "500ms"},
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_dongle_enrols_renews_by_itself_and_is_shut_out(site: Site) -> None:
    with site.connect() as connection, Arguments() as arguments:
        site.register(DEVICE)
        token_file = site.folder / "flashed.token"
        site.run("enrolment", "token", DEVICE, "--out", token_file)
        port = free_port()
        where = ("--name", "127.0.0.1", "--port", str(port), "--days", DAYS)
        service = site.start_ready(
            "enrolment", "enrolment", "run", "--ca", site.folder / "authority", *where, line="enrolment ready"
        )
        config = flash(site, token_file.read_text(), f"https://127.0.0.1:{port}")
        agent = ManagedProcess.start(
            [sys.executable, "-m", "edge_agent", config],
            name="agent",
            log_path=site.folder / "agent.log",
            env={},
            cwd=ROOT,
        )
        site.processes.append(agent)
        agent.wait_for_line("connected to 127.0.0.1", START_SECONDS)
        site.run("enrolment", "service", "ingest", "--ca", site.folder / "authority", "--out", site.folder / "tls")
        site.start_ingest()

        def renewed() -> bool:
            return count(connection, "SELECT count(*) FROM device_certificate") > 1

        wait_until(renewed, "the certificate was not renewed")
        agent.wait_for_line("connected with this certificate", START_SECONDS)
        readings = "SELECT count(*) FROM reading"
        wait_until(lambda: count(connection, readings) > 0, "nothing arrived")
        (ending,) = site.run_json("enrolment", "list", "--ending", "7")
        assert (ending["device"], ending["generation"]) == (DEVICE, 1)
        health = run_wearcast("agent", "status", config, "--json", environment={})
        assert json.loads(health.stdout)["certificate_ends"] is not None, health.stderr
        assert f"{DEVICE} is shut out" in site.run("enrolment", "revoke", DEVICE, "--reason", "stolen")
        agent.wait_for_line("does not renew this certificate", START_SECONDS)
        asked = run_wearcast("agent", "enrol", config, environment={})
        assert (asked.returncode, "does not renew this certificate" in asked.stderr) == (1, True)
        service.wait_for_line("revocation list 2 is signed", START_SECONDS)
        listed = site.folder / "crl.pem"
        site.run("enrolment", "crl", "--out", listed)
        keys = [(site.folder / "dongle" / "identity" / "identity.pem").read_text()]
        site.stop_all()
        keys += [file.read_text() for file in (site.folder / "tls").glob("*-key.pem")]
        secrets = [token_file.read_text().strip(), *(secret for key in keys for secret in key_lines(key))]
        said = "".join(file.read_text() for file in site.folder.glob("*.log")) + site.broker.log_path.read_text()
        shown = b"\n".join(arguments.seen)
        assert f"{DEVICE} is enrolled" in said
        assert b"edge_agent.enrolment" in shown
        for secret in secrets:
            assert secret not in said
            assert secret.encode() not in shown


def key_lines(pem: str) -> list[str]:
    """The lines of a private key that say something."""
    inside = pem.partition("PRIVATE KEY-----\n")[2].partition("-----END")[0]
    assert inside
    return inside.split()[:2]
