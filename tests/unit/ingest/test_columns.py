"""The columnar path takes what the plain path takes, and finds the same in it; all else is as the plain path says."""

import math
import struct
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoding.columns import ColumnarBatch, signals_of, table
from ingest.decoding.decode import Accepted, Rejection, decode, decode_group
from ingest.storing.state import VehicleState, merge
from telemetry import compact
from telemetry.packing import pack
from telemetry.records import BatchKey, Estimate, Quantity, ReadingsBatch, Sample, utc_from_ms
from telemetry.wire import encode_readings
from tests.unit.ingest.columnar_payloads import NOW, START, batches, incoming, payloads

EMPTY = VehicleState(vehicle_id=UUID(int=1))
Row = tuple[datetime, dict[str, float]]


def rows(batches: Sequence[ColumnarBatch]) -> list[list[Row]]:
    """Rows of each batch, as the plain path has them."""
    signals = sorted(signals_of(batches), key=lambda signal: signal.code)
    found = table(batches, signals)
    by_batch: list[list[Row]] = [[] for _ in batches]
    for row, (batch, time) in enumerate(zip(found.batches.tolist(), found.times_ms.tolist(), strict=True)):
        values = {
            signal.path: float(column[row])
            for signal, column in zip(signals, found.columns, strict=True)
            if not math.isnan(column[row])
        }
        by_batch[batch].append((utc_from_ms(time), values))
    return by_batch


def plain_rows(batch: ReadingsBatch) -> list[Row]:
    return [(sample.time, dict(sample.values)) for sample in batch.samples]


def bits(rows: list[Row]) -> list[tuple[datetime, dict[str, bytes]]]:
    return [(time, {path: struct.pack(">d", value) for path, value in values.items()}) for time, values in rows]


@settings(max_examples=200)
@given(st.lists(payloads(), min_size=1, max_size=4))
def test_both_paths_say_the_same_of_any_payload(given_payloads: list[bytes]) -> None:
    messages = [incoming(payload) for payload in given_payloads]
    for columnar, plain in zip(decode_group(messages), map(decode, messages), strict=True):
        if isinstance(columnar, Rejection) or isinstance(plain, Rejection):
            assert columnar == plain
            continue
        assert columnar.digest == plain.digest
        assert isinstance(plain.record, ReadingsBatch)
        if isinstance(columnar.record, ColumnarBatch):
            assert (columnar.record.key, columnar.record.estimates) == (plain.record.key, plain.record.estimates)
            assert columnar.record.rows == len(plain.record.samples)
            assert columnar.record.last_sample_at == plain.record.samples[-1].time
            assert bits(rows([columnar.record])[0]) == bits(plain_rows(plain.record))
            assert merge(EMPTY, [columnar.record], NOW) == merge(EMPTY, [plain.record], NOW)
        else:
            assert columnar.record == plain.record


@given(st.lists(batches().filter(lambda batch: batch.samples), min_size=1, max_size=6), st.data())
def test_a_table_of_some_batches_holds_their_rows_and_no_others(
    given_batches: list[ReadingsBatch], data: st.DataObject
) -> None:
    decoded = decode_group([incoming(compact.encode(batch)) for batch in given_batches])
    pairs = [
        (entry.record, batch)
        for entry, batch in zip(decoded, given_batches, strict=True)
        if isinstance(entry, Accepted) and isinstance(entry.record, ColumnarBatch)
    ]
    if not pairs:
        return
    chosen = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique_by=lambda pair: pair[0].number))
    for found, (record, batch) in zip(rows([record for record, _ in chosen]), chosen, strict=True):
        plain = decode(incoming(compact.encode(batch)))
        assert isinstance(plain, Accepted)
        assert isinstance(plain.record, ReadingsBatch)
        assert record.key == plain.record.key
        assert found == plain_rows(plain.record)


@given(st.lists(batches(), min_size=1, max_size=5))
def test_states_merge_from_columns_as_from_samples(given_batches: list[ReadingsBatch]) -> None:
    messages = [incoming(compact.encode(batch)) for batch in given_batches]
    columnar = [entry.record for entry in decode_group(messages) if isinstance(entry, Accepted)]
    plain = [entry.record for entry in map(decode, messages) if isinstance(entry, Accepted)]
    assert merge(EMPTY, columnar, NOW) == merge(EMPTY, plain, NOW)  # type: ignore[arg-type]  # readings all


def test_what_a_dongle_sends_takes_the_columnar_path() -> None:
    samples = tuple(
        Sample(
            time=START,
            monotonic_ms=number,
            values={"Vehicle.Speed": 5.0 + number, **({"Vehicle.Service.IsServiceDue": 1.0} if number % 2 else {})},
        )
        for number in range(60)
    )
    batch = ReadingsBatch(key=BatchKey(device="d1", boot=UUID(int=5), sequence=3), samples=samples)
    (entry,) = decode_group([incoming(compact.encode(batch))])
    assert isinstance(entry, Accepted)
    assert isinstance(entry.record, ColumnarBatch)


@pytest.mark.parametrize("first", [2**53 + 1, 2**62])
def test_an_integer_that_no_float_holds_is_left_to_the_plain_path(first: int) -> None:
    sample = Sample(time=START, monotonic_ms=0, values={"Vehicle.Speed": 7.0})
    body = compact._body(
        ReadingsBatch(key=BatchKey(device="d1", boot=UUID(int=5), sequence=3), samples=(sample, sample))
    )
    column = msgspec.structs.replace(body.columns[0], integers=pack([first, first + 1]), denominator=first)
    payload = b"WC\x01\x00" + compact._encoder.encode(msgspec.structs.replace(body, columns=[column]))
    (entry,) = decode_group([incoming(payload)])
    assert isinstance(entry, Accepted)
    assert isinstance(entry.record, ReadingsBatch)
    assert [sample.values["Vehicle.Speed"] for sample in entry.record.samples] == [1.0, (first + 1) / first]


def test_a_group_is_decoded_up_to_its_bound_of_values() -> None:
    def message(sequence: int) -> bytes:
        samples = (Sample(time=START, monotonic_ms=0, values={"Vehicle.Speed": 7.0}),) * 10
        return compact.encode(
            ReadingsBatch(key=BatchKey(device="d1", boot=UUID(int=5), sequence=sequence), samples=samples)
        )

    messages = [incoming(message(sequence)) for sequence in range(1, 6)]
    assert len(decode_group(messages, most_values=25)) == 3
    assert len(decode_group(messages, most_values=1)) == 1
    assert len(decode_group(messages)) == 5


@pytest.mark.parametrize("compactly", [True, False])
@pytest.mark.parametrize("what", ["rows", "estimates"])
def test_a_group_is_bounded_in_rows_without_values_and_in_estimates_too(what: str, compactly: bool) -> None:
    """Of a few hundred bytes each: five hundred batches of empty rows took 2.5 GB of a worker."""
    sparse = tuple(
        Sample(time=START, monotonic_ms=0, values={} if row else {"Vehicle.Speed": 7.0}) for row in range(100)
    )
    estimate = Estimate(time=START, quantity=Quantity.OIL_LIFE, value=5, low=4, high=6, source="ecu", method="ecu")
    samples, estimates = (sparse, ()) if what == "rows" else (sparse[:1], (estimate,) * 10)
    messages = [
        incoming(encode_readings(batch, "compact" if compactly else "json"))
        for batch in [
            ReadingsBatch(
                key=BatchKey(device="d1", boot=UUID(int=5), sequence=sequence), samples=samples, estimates=estimates
            )
            for sequence in range(1, 6)
        ]
    ]
    assert len(decode_group(messages, most_values=150)) == (2 if what == "rows" else 1)
    assert len(decode_group(messages)) == 5
