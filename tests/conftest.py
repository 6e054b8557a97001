"""Real services for tests that ask for them: a TimescaleDB for the session, a clean database and a broker per test."""

import gc
import itertools
import logging
import os
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

import ingest.migrate
import rules
from ingest.database import Connection, connect
from ingest.personal.keyring import KeyRingFile
from ingest.personal.vault import use_keys
from ingest.pulse import PULSE
from wearcast.embedded.nats import Broker, private_broker
from wearcast.embedded.timescaledb import Database, private_database

# How long an example takes, and how fast examples are found, says how busy the machine is and nothing of the code.
settings.register_profile(
    "any speed",
    settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any speed")

_TEMPLATE = "wearcast_migrated"
_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let no garbage be looked for among what stays: it took a third of the collecting, in each worker."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def personal_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyRingFile]:
    """Keys to personal data for this session, here and in the processes it starts."""
    ring = KeyRingFile(tmp_path_factory.mktemp("keys") / "personal-keys")
    os.environ["WEARCAST_PERSONAL_KEY_FILE"] = str(ring.path)
    use_keys(lambda: ring)
    yield ring
    use_keys(None)
    del os.environ["WEARCAST_PERSONAL_KEY_FILE"]


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A test that sets up the log of a process, as commands do, leaves none of it to the tests after it."""
    root = logging.getLogger()
    hooks, handlers = (sys.excepthook, threading.excepthook), tuple(root.handlers)
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    level = root.level
    yield
    sys.excepthook, threading.excepthook = hooks
    for handler in tuple(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))


@pytest.fixture(autouse=True)
def pulse_as_before() -> Iterator[None]:
    """What a test let this process be troubled by does not trouble it in the tests after it."""
    yield
    for problem in tuple(PULSE._troubles):
        PULSE.well(problem)


@pytest.fixture(scope="session")
def timescaledb() -> Iterator[Database]:
    """A private TimescaleDB without anything of ours, for this session alone."""
    with private_database(fresh=True, durable=False, in_memory=True) as database:
        yield database


@pytest.fixture(scope="session")
def migration_folders() -> tuple[Path, ...]:
    """Where migrations are, of all packages that have some."""
    return (ingest.migrate.FOLDER, Path(rules.__file__).parent / "migrations")


@pytest.fixture(scope="session")
def migrated_template(timescaledb: Database, migration_folders: tuple[Path, ...]) -> str:
    """Name of a database with all migrations, to be copied: replaying them takes longer than a copy."""
    with psycopg.connect(timescaledb.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        ingest.migrate.apply(timescaledb.url_of(_TEMPLATE), migration_folders)
        # A database that is copied must have no sessions, and TimescaleDB's scheduler connects to every one.
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(_TEMPLATE)))
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [_TEMPLATE]
        )
    return _TEMPLATE


@pytest.fixture
def empty_database_url(timescaledb: Database) -> Iterator[str]:
    """A database with nothing in it."""
    yield from _database(timescaledb, "template0")  # TimescaleDB's scheduler visits template1


@pytest.fixture
def database_url(timescaledb: Database, migrated_template: str) -> Iterator[str]:
    """A migrated database of this test alone."""
    yield from _database(timescaledb, migrated_template)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """An open connection to this test's database, one transaction per statement."""
    with closing(connect(database_url, autocommit=True)) as opened:
        yield opened


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker of this test alone; anyone on this machine may connect."""
    with private_broker(fresh=True) as running:
        yield running


def _database(timescaledb: Database, template: str) -> Iterator[str]:
    text = f"test_{next(_numbers)}"
    name = sql.Identifier(text)
    with psycopg.connect(timescaledb.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
        try:
            yield timescaledb.url_of(text)
        finally:
            drop_database(connection, text)


def drop_database(connection: psycopg.Connection, name: str) -> None:
    """Drop it, whoever is still in it."""
    statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    try:
        connection.execute(statement)
    except psycopg.errors.ObjectInUse:  # it waits 5 s for the sessions it has ended, which a busy machine can pass
        connection.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [name])
        connection.execute(statement)
