"""A database that is read-only for a while, as after a fail-over to a standby: what works on it waits, and goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingest.database import Connection
from tests.integration.rules_bench import Bench, running_engine, wait_for
from tests.integration.test_ingest_session import end_others, set_read_only

pytestmark = pytest.mark.database


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    connection.execute("SET default_transaction_read_only = off")
    set_read_only(connection, on=True)
    end_others(connection)
    try:
        yield
    finally:
        set_read_only(connection, on=False)


def test_the_rules_engine_waits_until_it_may_write_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with running_engine(bench.config) as engine:
        bench.oil(5)
        wait_for(lambda: len(bench.alerts()) == 1)
        with caplog.at_level(logging.WARNING), read_only(bench.connection):
            wait_for(lambda: "read-only transaction" in caplog.text)
        assert engine.is_alive()
        bench.code("P0301")
        wait_for(lambda: len(bench.alerts()) == 2)
