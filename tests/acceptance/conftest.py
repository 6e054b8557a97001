"""A real TimescaleDB for all acceptance tests, and for each a database and a broker of its own."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ingest.personal.keyring import KeyRingFile
from tests.acceptance.acceptance_support import Site
from tests.conftest import drop_database
from wearcast.database import migrate
from wearcast.embedded.nats import BrokerUser, private_broker
from wearcast.embedded.timescaledb import Database, private_database

SiteOf = Callable[..., Site]
_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def own_settings(personal_keys: KeyRingFile) -> Iterator[None]:
    """The processes see the settings of the test, not those of whoever runs it, and the keys that the test uses."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WEARCAST_")]:
            patch.delenv(name)
        patch.setenv("WEARCAST_PERSONAL_KEY_FILE", str(personal_keys.path))
        yield


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """A private TimescaleDB as in production: with fsync."""
    with private_database(fresh=True, durable=True) as database:
        yield database


@pytest.fixture
def site_of(server: Database, tmp_path: Path) -> Iterator[SiteOf]:
    """Makes the test's site: ``site_of("d1", "d2")`` has a broker on which these devices sign in."""
    with ExitStack() as stack:

        def make(*devices: str) -> Site:
            users = {
                "backend": BrokerUser.with_new_password("backend"),
                **{device: BrokerUser.with_new_password(device, device=device) for device in devices},
            }
            used = users if devices else {}
            site = Site(
                folder=tmp_path,
                database_url=stack.enter_context(_database(server)),
                broker=stack.enter_context(private_broker(fresh=True, users=tuple(used.values()))),
                users=used,
            )
            stack.callback(site.stop_all)
            return site

        yield make


@contextmanager
def _database(server: Database) -> Iterator[str]:
    text = f"acceptance_{next(_numbers)}"
    name = sql.Identifier(text)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
    try:
        migrate(server.url_of(text))
        yield server.url_of(text)
    finally:
        with psycopg.connect(server.url, autocommit=True) as connection:  # a test may have killed the server meanwhile
            drop_database(connection, text)
