"""A person is erased: their dongle, a real agent, empties itself over a broker as we configure it, and is shut out.

Everything is a process of its own: broker, `broker watch`, `ingest run`, the agent, `privacy erase`.
"""

import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge_agent.outbox import Outbox
from ingest import registry
from ingest.brokers.branch import Permitted
from ingest.brokers.folder import Kind, password_file
from ingest.database import Connection
from ingest.outbound import wipes
from telemetry.records import Sample
from telemetry.subject import service_subject
from tests.acceptance.acceptance_support import ROOT, START_SECONDS, Site, count, wait_until
from tests.acceptance.conftest import _database
from tests.noting_client import HOST
from tests.security.fortress import SERVICE, Fortress, fortress_of
from wearcast.embedded.nats import Broker
from wearcast.embedded.processes import ManagedProcess
from wearcast.embedded.timescaledb import Database

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

DEVICE, GENERATION, NEIGHBOUR = "car-7", 2, "car-8"
SPEED = 87.65432109876543  # km/h; as MessagePack has it in the outbox
KNOWN = struct.pack(">d", SPEED)


class OfFortress(Broker):
    """Where the fortress listens."""

    def __init__(self, fortress: Fortress) -> None:
        super().__init__(home=fortress.home, users=())
        self._fortress = fortress

    @property
    def port(self) -> int:
        return self._fortress.port


class FortifiedSite(Site):
    """Its broker is one that `wearcast broker config` wrote; the backend shows who it is."""

    fortress: Fortress

    def environment(self, device: str | None = None) -> dict[str, str]:
        running = self.fortress
        own = {
            **super().environment(device),
            "WEARCAST_BACKUP_DIR": str(self.folder / "backups"),
            "WEARCAST_BROKER_CA": str(running.tls.ca),
            "WEARCAST_WATCH_LISTEN": "off",
        }
        if running.kind == "nats":
            certificate, key = running.certificate(service_subject(SERVICE))
            return own | {
                "WEARCAST_BROKER_URL": f"mqtts://{HOST}:{running.port}",
                "WEARCAST_BROKER_CERTIFICATE": str(certificate),
                "WEARCAST_BROKER_KEY": str(key),
            }
        password = password_file(running.folder, SERVICE).read_text().strip()
        return own | {"WEARCAST_BROKER_URL": f"mqtts://{SERVICE}:{password}@{HOST}:{running.services_port}"}

    def owner_of(self, vehicle: UUID) -> UUID:
        with self.connect() as connection:
            return registry.vehicle_by_id(connection, vehicle).owner_id

    def start_agent(self, config: Path) -> ManagedProcess:
        agent = ManagedProcess.start(
            [sys.executable, "-m", "edge_agent", config],
            name="agent",
            log_path=self.folder / "agent.log",
            env={},
            cwd=ROOT,
        )
        self.processes.append(agent)
        return agent


@pytest.fixture
def site(request: pytest.FixtureRequest, server: Database, tmp_path: Path) -> Iterator[FortifiedSite]:
    kind: Kind = request.param
    home = tmp_path / "broker"
    home.mkdir()
    known = [Permitted(device=DEVICE, generation=GENERATION), Permitted(device=NEIGHBOUR, generation=0)]
    with _database(server) as url, fortress_of(kind, home, *known) as running:
        site = FortifiedSite(folder=tmp_path, database_url=url, broker=OfFortress(running))
        site.fortress = running
        try:
            yield site
        finally:
            site.stop_all()


def agent_of(site: FortifiedSite) -> Path:
    """A dongle that drives for minutes, and has a damaged copy of its outbox put aside."""
    certificate, key = site.fortress.of(DEVICE, GENERATION)
    config = site.write_agent(
        DEVICE,
        {"kind": "replay_csv", "path": "trip.csv", "speed": 1},
        mqtt={
            "host": HOST,
            "port": site.fortress.port,
            "tls": {"ca": str(site.fortress.tls.ca), "certificate": str(certificate), "key": str(key)},
        },
        batch="1h",  # it stays in the outbox
        batch_samples=100,
        outbox={"path": "outbox.sqlite", "flush": "100ms"},
    )
    rows = "".join(f"2026-01-31T08:{m:02d}:{s:02d}Z,{SPEED!r}\n" for m in range(30) for s in range(60))
    (config.parent / "trip.csv").write_text(f"time,Vehicle.Speed\n{rows}")
    site.outbox(DEVICE).with_name("outbox.sqlite.damaged-20260101T000000000000").write_bytes(KNOWN)
    return config


def stored(site: FortifiedSite) -> set[str]:
    """Files on the dongle in which something of the drive is; not the recording, which stands for the car."""
    found = set()
    for file in (site.folder / DEVICE).iterdir():
        if file.suffix in {".csv", ".yaml"}:
            continue
        with suppress(FileNotFoundError):  # the agent removed it since it was listed
            content = file.read_bytes()
            if KNOWN in content or b"replay." in content:
                found.add(file.name)
    return found


def erased(site: FortifiedSite, owner: UUID) -> None:
    printed = site.run("privacy", "erase", str(owner), "--reason", "request", "--yes")
    assert f"{DEVICE} is told to empty itself, until 20" in printed


def start_backend(site: FortifiedSite) -> Callable[[], None]:
    """Beside what is done meanwhile; what waits until it is ready."""
    ingest = site.start("ingest", "ingest", "run")
    watch = site.start("watch", "broker", "watch", site.fortress.folder)

    def ready() -> None:
        ingest.wait_for_line("ingest worker ready", START_SECONDS)
        watch.wait_for_line("broker watch ready", START_SECONDS)

    return ready


def drive_before(site: FortifiedSite) -> Path:
    """The dongle as a former run left it; its configuration."""
    config = agent_of(site)
    with Outbox.open(site.outbox(DEVICE), device=DEVICE, max_bytes=10_000_000) as outbox:
        outbox.begin_boot(uuid4())
        drive = Sample(monotonic_ms=1, time=datetime.now(UTC), values={"Vehicle.Speed": SPEED})
        outbox.add_samples([drive], recorded=False)
    return config


def outcome(connection: Connection) -> str | None:
    ((found,),) = connection.execute("SELECT outcome FROM device_wipe").fetchall()
    return None if found is None else str(found)


def is_shut_out(site: FortifiedSite) -> bool:
    """NATS refuses it; on Mosquitto it is deaf and mute where no revocation list is signed."""
    with site.fortress.service(client_id="wearcast-listener", subscribe=["wearcast/#"]) as listener:
        again = site.fortress.device(DEVICE, generation=GENERATION, again=False)
        if again.is_connected:
            again.mqtt.publish(f"wearcast/v1/{DEVICE}/results/wipe", b"again", qos=1)
            again.mqtt.publish(f"wearcast/v1/{DEVICE}/status", b"again", qos=1)
        refused = again.was_refused
        silent = listener.hears_nothing()
        again.close()
    return silent and (refused or site.fortress.kind == "mosquitto")


@pytest.mark.parametrize("site", ["nats"], indirect=True)
def test_a_dongle_that_drives_is_empty_within_seconds(site: FortifiedSite) -> None:
    vehicle = site.register(DEVICE)
    site.register(NEIGHBOUR)
    with site.connect() as connection:
        connection.execute("UPDATE device SET credential_generation = %s WHERE id = %s", [GENERATION, DEVICE])
        ready = start_backend(site)
        agent = site.start_agent(agent_of(site))
        agent.wait_for_line("connected to", START_SECONDS)
        wait_until(lambda: len(stored(site)) >= 2, "nothing is in the outbox")
        ready()
        with site.fortress.device(NEIGHBOUR) as neighbour:
            erased(site, site.owner_of(vehicle))
            wait_until(lambda: not stored(site), "the outbox was not emptied")
            wait_until(lambda: outcome(connection) == "wiped", "the answer was not recorded")
            assert not site.outbox(DEVICE).exists()
            (wipe,) = wipes.wipes(connection)
            assert (wipe.device_id, wipe.refusal) == (DEVICE, None)
            assert (wipe.files or 0) >= 2
            wait_until(lambda: is_shut_out(site), "it is still let in")
            assert neighbour.disconnections == 0
        assert agent.alive
        left = "SELECT count(*) FROM reading WHERE vehicle_id = %s"
        assert count(connection, left, [vehicle]) == 0
        assert count(connection, "SELECT count(*) FROM rejected_message WHERE payload <> ''") == 0
        with site.fortress.service(client_id="wearcast-late", subscribe=[f"wearcast/v1/{DEVICE}/#"]) as late:
            assert late.hears_nothing()  # nothing is retained of it


@pytest.mark.parametrize("site", ["mosquitto"], indirect=True)
def test_a_dongle_that_was_away_is_emptied_when_it_comes_back(site: FortifiedSite) -> None:
    vehicle = site.register(DEVICE)
    site.register(NEIGHBOUR)
    with site.connect() as connection:
        connection.execute("UPDATE device SET credential_generation = %s WHERE id = %s", [GENERATION, DEVICE])
        ready = start_backend(site)
        config = drive_before(site)
        erased(site, site.owner_of(vehicle))
        ready()
        assert outcome(connection) is None
        assert len(stored(site)) >= 2
        assert count(connection, "SELECT count(*) FROM device WHERE id = %s", [DEVICE]) == 0
        site.start_agent(config).wait_for_line("collects nothing", START_SECONDS)
        wait_until(lambda: outcome(connection) == "wiped", "the answer was not recorded")
        assert not stored(site)
        wait_until(lambda: is_shut_out(site), "it is still let in")
        assert count(connection, "SELECT count(*) FROM rejected_message WHERE payload <> ''") == 0
