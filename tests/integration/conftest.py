"""What the tests of the engine, of the booking desk, of the portal and of asking from afar share."""

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import pytest

from ingest.database import Connection, connect
from rules.engine import EngineConfig
from rules.rule import rulebook
from tests.browser.portal_scene import Clock as PortalClock
from tests.browser.portal_scene import make_scene, running_portal
from tests.integration.booking_scene import add_alert, add_owner, add_workshop
from tests.integration.portal_support import Portal
from tests.integration.remote_support import register_devices
from tests.integration.rules_bench import HELD, Bench, Clock, Desk, register_car


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    asked, clock = Desk(), Clock()
    config = EngineConfig(
        database_url=database_url,
        rules=(*rulebook(), HELD),
        poll_s=0.01,
        clock=clock,
        propose=asked.propose,
        announce=asked.announce,
    )
    with closing(connect(database_url, autocommit=True)) as connection:
        yield Bench(connection=connection, config=config, clock=clock, desk=asked, car=register_car(connection))


@pytest.fixture
def alert_id(connection: Connection) -> UUID:
    """An alert of a car near three workshops."""
    add_workshop(connection, "Near", north=0.02)
    add_workshop(connection, "Cheap", north=0.2, price="150.00", rating=4.0)
    add_workshop(connection, "Good", north=0.1, price="210.00", rating=5.0)
    add_workshop(connection, "Munich", north=-4.4)
    alert = add_alert(connection, add_owner(connection))
    connection.commit()
    return alert


@pytest.fixture
def registered(connection: Connection) -> Connection:
    """A connection to a database with two devices."""
    register_devices(connection)
    return connection


@pytest.fixture
def portal(database_url: str, connection: Connection) -> Iterator[Portal]:
    """A portal that shows the scene of an open offer."""
    scene, clock = make_scene(connection), PortalClock()
    with running_portal(database_url, clock) as url:
        yield Portal(url=url, scene=scene, clock=clock, connection=connection)
