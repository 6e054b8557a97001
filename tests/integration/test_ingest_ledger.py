"""The ledger beside others that change it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from ingest import ledger, reading_store
from ingest.database import Connection, connect
from ingest.decode import Incoming
from ingest.errors import DatabaseError
from ingest.writer import store
from telemetry.records import ReadingsBatch
from telemetry.topics import publish_topic
from telemetry.wire import Form, encode_readings
from tests.integration.ingest_support import readings, register_car

pytestmark = pytest.mark.database
NOW = datetime.now(UTC)


def at(batch: ReadingsBatch, time: datetime) -> ReadingsBatch:
    return replace(batch, samples=tuple(replace(sample, time=time) for sample in batch.samples))


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


@pytest.mark.parametrize("form", ["compact", "json"])
def test_a_batch_stored_while_our_clock_was_ahead_is_not_refused_when_it_comes_again(
    form: Form, connection: Connection
) -> None:
    register_car(connection, "d1")
    boot, ahead = uuid4(), timedelta(days=365)
    batch = at(readings("d1", boot, 1), NOW + timedelta(days=300))
    payload = encode_readings(batch, form)
    message = Incoming(topic=publish_topic("d1", "readings"), payload=payload, received_at=NOW + ahead)
    assert store(connection, [message], NOW + ahead).batches == 1

    other = encode_readings(at(readings("d1", boot, 1), NOW + timedelta(days=301)), form)
    unheard = encode_readings(at(readings("d1", boot, 2), NOW + timedelta(days=300)), form)
    group = [replace(message, payload=sent, received_at=NOW) for sent in (payload, other, unheard, payload)]
    outcome = store(connection, group, NOW)
    (ack,) = outcome.acknowledgements
    assert ack.committed == ((1, 1),)
    assert (outcome.duplicates, outcome.rejected, outcome.reasons) == (2, 2, Counter({"far-future": 2}))
    (counted,) = reading_store.counts(connection).boots
    assert (counted.batches, counted.resent) == (1, 2)
    kept = connection.execute("SELECT payload FROM rejected_message").fetchall()
    assert {bytes(row[0]) for row in kept} == {other, unheard}
