"""The ledger beside others that change it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from edge_agent.outbox import Outbox, Publication
from ingest import reading_store
from ingest.database import Connection, connect
from ingest.decoding.decode import Incoming
from ingest.errors import DatabaseError
from ingest.storing import ledger
from ingest.storing.writer import Outcome, store
from telemetry.records import ReadingsBatch, Sample, ms_from_utc
from telemetry.topics import publish_topic
from telemetry.wire import Form, decode_ack, encode_ack, encode_readings
from tests.integration.ingest_support import SPEED, readings, register_car
from tests.unit.edge_agent.outbox_support import publish_all

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


WRONG = timedelta(days=30)


@contextmanager
def dongle_ahead() -> Iterator[Outbox]:
    """Outbox of d1 with one sample, taken while its clock was a month ahead."""
    wrong_ms = ms_from_utc(NOW + WRONG)
    with Outbox.open(":memory:", device="d1", max_bytes=10_000_000) as outbox:
        outbox.begin_boot(uuid4(), "kernel-1")
        outbox.add_readings(
            [Sample(time=NOW + WRONG, monotonic_ms=0, values={SPEED: 50.0})], [], created_ms=wrong_ms, clock_ms=wrong_ms
        )
        yield outbox


def test_a_late_copy_of_what_was_put_right_does_not_make_its_device_send_it_twice(connection: Connection) -> None:
    register_car(connection, "d1")
    with dongle_ahead() as outbox:

        def handed_over(entry: Publication, now: datetime) -> Outcome:
            message = Incoming(topic=publish_topic("d1", entry.channel), payload=entry.payload, received_at=now)
            return store(connection, [message], now)

        (copy,) = publish_all(outbox)
        for ack in handed_over(copy, NOW).acknowledgements:
            outbox.acknowledge(ack)  # refused for its time
        assert outbox.put_right(ms_from_utc(NOW), 0) == 1
        (put_right,) = publish_all(outbox)
        heard_late = handed_over(put_right, NOW).acknowledgements
        late = handed_over(copy, NOW + WRONG)
        assert late.reasons == Counter({"replayed": 1})
        for ack in (*late.acknowledgements, *heard_late):
            outbox.acknowledge(decode_ack("d1", encode_ack(ack)))
        assert (outbox.pending_batches(), outbox.rejected()) == (0, ())
    (counted,) = reading_store.counts(connection).boots
    assert counted.batches == 1


def test_a_batch_refused_by_one_worker_and_taken_by_another_is_stored_with_the_right_times_too(
    connection: Connection,
) -> None:
    register_car(connection, "d1")
    with dongle_ahead() as outbox:

        def arrived(entry: Publication, now: datetime) -> Incoming:
            return Incoming(topic=publish_topic("d1", entry.channel), payload=entry.payload, received_at=now)

        def sent() -> Counter[str]:
            outcome = store(connection, [arrived(entry, NOW) for entry in publish_all(outbox)], NOW)
            for ack in outcome.acknowledgements:
                outbox.acknowledge(ack)
            return outcome.reasons

        (copy,) = publish_all(outbox)
        assert sent() == Counter({"far-future": 1})
        taken = store(connection, [arrived(copy, NOW + WRONG)], NOW + WRONG)
        assert taken.batches == 1  # and its acknowledgement is lost
        assert outbox.put_right(ms_from_utc(NOW), 0) == 1
        assert sent() == Counter({"replayed": 1})
        assert sent() == Counter()
        assert (outbox.pending_batches(), outbox.rejected()) == (0, ())
    times = connection.execute("SELECT time FROM reading ORDER BY time").fetchall()
    moments = zip(times, (NOW, NOW + WRONG), strict=True)
    assert all(abs(row[0] - moment) < timedelta(seconds=1) for row, moment in moments)
    (counted,) = reading_store.counts(connection).boots
    assert (counted.batches, counted.resent) == (2, 0)
