"""The ledger beside others that change it."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from ingest import ledger
from ingest.database import Connection, connect
from ingest.decode import Incoming
from ingest.errors import DatabaseError
from ingest.writer import store
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings
from tests.integration.ingest_support import readings, register_car

pytestmark = pytest.mark.database
NOW = datetime.now(UTC)


def test_a_batch_erased_while_it_comes_again_is_stored_at_the_next_attempt(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_car(connection, "d1")
    payload = encode_readings(readings("d1", uuid4(), 1))
    message = Incoming(topic=publish_topic("d1", "readings"), payload=payload, received_at=NOW)
    insert = ledger._insert_batches

    def insert_and_erase(own: Connection, *given: object) -> object:
        entered = insert(own, *given)  # type: ignore[arg-type]
        connection.execute("DELETE FROM batch")
        return entered

    with connect(database_url, autocommit=True) as own:
        assert store(own, [message], NOW).batches == 1
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "_insert_batches", insert_and_erase)
            with pytest.raises(DatabaseError):
                store(own, [message], NOW)
        assert store(own, [message], NOW).batches == 1
