"""The columnar path against the real database: it stores what the plain path stores, to the bit."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from ingest import reading_store
from ingest.database import Connection, connect
from ingest.decoding import decode as decoding
from ingest.decoding.columns import ColumnarBatch
from ingest.decoding.decode import Accepted, Incoming, decode, decode_group
from ingest.storing.rows import column_type, copy_readings
from ingest.storing.writer import store_decoded
from telemetry import compact
from telemetry.catalogue import catalogue
from telemetry.records import BatchKey, ReadingsBatch, Sample
from telemetry.topics import publish_topic
from telemetry.wire import encode_readings
from tests.integration.ingest_support import START, readings, register_car

pytestmark = pytest.mark.database


def every_signal(sequence: int) -> ReadingsBatch:
    """A row with all signals, one with half of them, one with those of one type, and one with none."""
    signals = tuple(catalogue())
    shares = (signals, signals[::2], [signal for signal in signals if column_type(signal) == "boolean"], ())
    samples = tuple(
        Sample(
            time=START,
            monotonic_ms=0,
            values={
                signal.path: float(signal.maximum if sequence % 2 else signal.minimum + signal.resolutions[0])
                for signal in share
            },
        )
        for share in shares
    )
    return ReadingsBatch(key=BatchKey(device="d1", boot=UUID(int=9), sequence=sequence), samples=samples)


@pytest.mark.parametrize("values_of_a_block", [decoding._BLOCK_VALUES, 1])
def test_both_paths_store_the_same_rows(
    connection: Connection, values_of_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_BLOCK_VALUES", values_of_a_block)
    sent = [every_signal(1), readings("d1", UUID(int=9), 2), every_signal(3), every_signal(4)]
    topic = publish_topic("d1", "readings")
    messages = [Incoming(topic=topic, payload=encode_readings(batch), received_at=datetime.now(UTC)) for batch in sent]
    stored = []
    for decoded in (decode_group(messages), [decode(message) for message in messages]):
        records = [entry.record for entry in decoded if isinstance(entry, Accepted)]
        batches = [record for record in records if isinstance(record, ColumnarBatch | ReadingsBatch)]
        vehicle = uuid4()
        assert copy_readings(connection, {"d1": vehicle}, batches) == 15
        blocks = {id(batch.block) for batch in batches if isinstance(batch, ColumnarBatch)}
        assert len(blocks) in {0, 1 if values_of_a_block > 1 else len(batches)}
        rows = connection.execute(
            "SELECT to_jsonb(reading) - 'vehicle_id' FROM reading WHERE vehicle_id = %s ORDER BY 1", [vehicle]
        ).fetchall()
        stored.append((len({type(batch) for batch in batches}), rows))
    assert stored[0] == stored[1]
    assert len(stored[0][1]) == 15


def test_a_block_is_stored_in_parts_where_the_database_refuses_one_of_its_batches(
    database_url: str, connection: Connection
) -> None:
    vehicle = register_car(connection, "d1")
    boot = uuid4()
    numbers = (1, 9, 4)  # the newest is not the last
    beyond = msgspec.structs.replace(compact._body(readings("d1", boot, 5)), sequence=2**63)  # no bigint
    payloads = [compact.encode(readings("d1", boot, number)) for number in numbers]
    payloads.insert(1, b"WC\x01\x00" + compact._encoder.encode(beyond))
    topic, now = publish_topic("d1", "readings"), datetime.now(UTC)
    decoded = decode_group([Incoming(topic=topic, payload=payload, received_at=now) for payload in payloads])
    assert all(isinstance(entry, Accepted) and isinstance(entry.record, ColumnarBatch) for entry in decoded)
    with connect(database_url, autocommit=True) as own:
        outcome = store_decoded(own, decoded, now)
        state = reading_store.latest_state(own, vehicle)
    assert (outcome.batches, outcome.samples, outcome.reasons) == (3, 9, {"unstorable": 1})
    assert state.last_sample_at == START + timedelta(seconds=3 * 9 + 2)
