"""What the tests of the engine share."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from ingest.database import connect
from rules.engine import EngineConfig
from rules.rule import rulebook
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
