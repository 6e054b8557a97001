"""Who is let in follows the registry, while all others stay connected. The real watch, database and brokers."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from ingest import registry
from ingest.brokers.access import read_access
from ingest.brokers.folder import read_files, registry_files
from ingest.brokers.watch import WatchConfig, watch
from ingest.database import Connection, connect
from ingest.enrolment import store
from ingest.enrolment.access import RevocationList, publish_revocation_list
from ingest.warden import blocks
from tests.integration.ingest_support import register_car, running, until
from tests.security.fortress import KINDS, Fortress, attack, fortress_of
from wearcast.authority_signer import AuthoritySigner

pytestmark = [
    pytest.mark.broker,
    pytest.mark.database,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(params=KINDS)
def fortress(request: pytest.FixtureRequest, tmp_path: Path, connection: Connection) -> Iterator[Fortress]:
    """A broker whose registry is this test's database."""
    for device in ("car-1", "car-2"):
        register_car(connection, device)
    with fortress_of(request.param, tmp_path) as running:
        sign(connection, running)
        running.access = read_access(connection)
        running.apply()
        yield running


def sign(connection: Connection, fortress: Fortress) -> None:
    """As the enrolment service does: the list of what is revoked, signed."""
    signer = AuthoritySigner(fortress.authority)
    now = datetime.now(UTC)
    number = connection.execute("SELECT coalesce(max(number), 0) + 1 FROM certificate_revocation_list").fetchone()
    assert number is not None
    revoked = store.revoked_serials(connection, now)
    pem, issued_at, next_update = signer.sign_revocations(revoked, number=number[0], valid_days=1)
    publish_revocation_list(
        connection,
        RevocationList(
            authority=signer.fingerprint,
            number=number[0],
            pem=pem.decode(),
            issued_at=issued_at,
            next_update=next_update,
        ),
    )


def watching(
    fortress: Fortress, url: str, *, look_seconds: float = 15.0, rest_factor: float = 2.0
) -> AbstractAsyncContextManager[None]:
    config = WatchConfig(
        database_url=url,
        folder=fortress.folder,
        look_seconds=look_seconds,
        gather_seconds=0.05,
        rest_factor=rest_factor,
    )
    return running(partial(watch, config))


@attack("go on after being revoked", answer="disconnected, refused from then on; others stay connected")
async def test_a_revoked_device_is_out_and_the_others_stay(
    fortress: Fortress, connection: Connection, database_url: str
) -> None:
    async with watching(fortress, database_url):
        with fortress.device("car-1") as good, fortress.service(subscribe=["wearcast/#"]) as backend:
            revoked = fortress.device("car-2")
            store.revoke(connection, "car-2", reason="stolen", now=datetime.now(UTC))
            await until(lambda: revoked.disconnections > 0, "the revoked device is disconnected")
            revoked.close()
            again = fortress.device("car-2", again=False)
            if not again.was_refused:
                again.publish("wearcast/v1/car-2/readings", b"revoked")
            again.close()
            good.publish("wearcast/v1/car-1/readings", b"good")
            assert backend.hears_only(("wearcast/v1/car-1/readings", b"good"))
            assert good.disconnections == 0
            assert backend.disconnections == 0


def _grown(fortress: Fortress, before: int) -> bool:
    return fortress.reloads > before


async def test_a_client_stays_connected_over_twenty_changes(
    fortress: Fortress, connection: Connection, database_url: str
) -> None:
    async with watching(fortress, database_url, rest_factor=0.0):
        with (
            fortress.device("car-1", subscribe=["wearcast/v1/car-1/acks"]) as steady,
            fortress.service(subscribe=["wearcast/v1/+/readings"]) as backend,
        ):
            for number in range(20):
                reloads = fortress.reloads
                register_car(connection, f"new-{number}")
                await until(partial(_grown, fortress, reloads), "the broker is told")
                steady.publish("wearcast/v1/car-1/readings", str(number).encode())
            await until(lambda: len(backend.received) == 20, "all that the steady device said is heard")
            assert steady.events == [("connected", "")]
            assert backend.events == [("connected", "")]
            for number in (0, 19):
                with fortress.device(f"new-{number}") as added:
                    added.publish(f"wearcast/v1/new-{number}/readings", b"first")
            await until(lambda: len(backend.received) == 22, "those who were added are let in")


@attack("flood, or misbehave otherwise", answer="kept out for a time that doubles; let in again by itself")
async def test_a_block_ends_by_itself(fortress: Fortress, connection: Connection, database_url: str) -> None:
    async with watching(fortress, database_url, look_seconds=0.2):
        with fortress.device("car-2") as device, fortress.service(subscribe=["wearcast/#"]) as backend:
            assert blocks.block(connection, "car-2", reason="flood", now=datetime.now(UTC))
            await until(lambda: device.disconnections > 0, "the blocked device is disconnected")
            end = datetime.now(UTC) + timedelta(seconds=1)
            connection.execute("UPDATE device_block SET until = %s", [end])

            def heard() -> bool:
                if device.is_connected:
                    device.mqtt.publish("wearcast/v1/car-2/readings", b"again", qos=1)
                return ("wearcast/v1/car-2/readings", b"again") in backend.received

            await until(heard, "the device is let in again")
            assert datetime.now(UTC) >= end


async def test_who_takes_anothers_session_is_kept_out(
    fortress: Fortress, connection: Connection, database_url: str
) -> None:
    """On Mosquitto nobody can: the client id is not chosen."""
    async with watching(fortress, database_url, look_seconds=0.2):
        with fortress.device("car-1") as owner:
            thief = fortress.device("car-2", client_id="car-1", again=False)
            if fortress.kind == "nats":
                await until(lambda: thief.disconnections > 0, "the thief is disconnected")
                await until(lambda: owner.disconnections > 0, "the owner has noticed it")
            else:
                assert owner.disconnections == 0
            await until(lambda: owner.is_connected, "the owner is connected")
            thief.close()
        kept_out = [(entry.device_id, entry.reason) for entry in blocks.blocked(connection, datetime.now(UTC))]
        assert kept_out == ([("car-2", "client-id")] if fortress.kind == "nats" else [])


async def test_a_registry_that_is_away_changes_nothing(
    fortress: Fortress, connection: Connection, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(fortress, database_url, look_seconds=0.2):
        with fortress.device("car-1") as device:
            with closing(connect(database_url, autocommit=True)) as other:
                for _ in range(2):
                    other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                        ["wearcast-broker-watch"],
                    )
                    await asyncio.sleep(0.3)
            depending = registry_files(fortress.setup, fortress.access)
            assert "car-2" in "".join(read_files(fortress.folder, depending).values())
            registry.update_device(connection, "car-2", enabled=False)
            await until(
                lambda: "car-2" not in "".join(read_files(fortress.folder, depending).values()),
                "the change is applied all the same",
            )
            device.publish("wearcast/v1/car-1/readings", b"still here")
            assert device.disconnections == 0
    assert "goes on with who it knows" in caplog.text
