"""What may happen to a batch before it is published: nothing is lost, moved or invented by it beyond what was asked."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox_content import (
    checksum,
    joined,
    numbered,
    pack_events,
    pack_readings,
    pack_values,
    shifted,
    thinned,
    unpack,
    unpack_values,
)
from telemetry.errors import WireError
from telemetry.records import BatchKey, EventKind, EventsBatch, ReadingsBatch, Sample, VehicleEvent
from telemetry.wire import Form
from tests.unit.edge_agent.outbox_support import DEVICE, NOW

PATHS = ("Vehicle.Speed", "Vehicle.OBD.MAP", "Vehicle.OBD.IntakeTemp", "Vehicle.OBD.FuelLevel")
KEY = BatchKey(device=DEVICE, boot=UUID(int=5), sequence=7)

rows = st.lists(st.dictionaries(st.sampled_from(PATHS[:3]), st.integers(0, 200).map(float), min_size=1), min_size=1)


def samples_of(values: list[dict[str, float]], first: int = 0) -> list[Sample]:
    return [
        Sample(time=NOW + timedelta(seconds=first + number), monotonic_ms=1000 * (first + number), values=row)
        for number, row in enumerate(values)
    ]


def readings(content: bytes) -> ReadingsBatch:
    batch = unpack(DEVICE, "readings", content)
    assert isinstance(batch, ReadingsBatch)
    return batch


@given(values=rows, form=st.sampled_from(["compact", "json"]))
def test_a_number_changes_nothing_but_the_key(values: list[dict[str, float]], form: Form) -> None:
    batch = readings(numbered(KEY, "readings", pack_readings(DEVICE, samples_of(values), []), form))
    assert batch.key == KEY
    assert list(batch.samples) == samples_of(values)


@given(first=rows, second=rows)
def test_joined_batches_have_what_both_had(first: list[dict[str, float]], second: list[dict[str, float]]) -> None:
    one, two = samples_of(first), samples_of(second, 1_000)
    content = joined(DEVICE, [pack_readings(DEVICE, one, []), pack_readings(DEVICE, two, [])])
    assert list(readings(content).samples) == one + two


@given(first=rows, second=rows)
def test_thinned_batches_have_half_of_each_signal(
    first: list[dict[str, float]], second: list[dict[str, float]]
) -> None:
    one, two = samples_of(first), samples_of(second, 1_000)
    content, items = thinned(DEVICE, [pack_readings(DEVICE, one, []), pack_readings(DEVICE, two, [])])
    kept = readings(content).samples
    assert items == len(kept)
    for path in PATHS:
        before = [(sample.time, sample.values[path]) for sample in one + two if path in sample.values]
        assert [(sample.time, sample.values[path]) for sample in kept if path in sample.values] == before[::2]


@given(values=rows, by_ms=st.integers(-(10**11), 10**12))
def test_a_shift_moves_times_and_nothing_else(values: list[dict[str, float]], by_ms: int) -> None:
    moved = readings(shifted(DEVICE, "readings", pack_readings(DEVICE, samples_of(values), []), by_ms, "compact"))
    by = timedelta(milliseconds=by_ms)
    assert [sample.time - by for sample in moved.samples] == [sample.time for sample in samples_of(values)]
    assert [(one.monotonic_ms, one.values) for one in moved.samples] == [
        (one.monotonic_ms, one.values) for one in samples_of(values)
    ]


def test_the_start_of_a_trip_moves_with_its_end() -> None:
    data = {"started": NOW.isoformat(), "duration_s": 60.0}
    ended = VehicleEvent(time=NOW + timedelta(seconds=60), kind=EventKind.TRIP_ENDED, data=data)
    batch = unpack(DEVICE, "events", shifted(DEVICE, "events", pack_events(DEVICE, [ended]), 5_000, "compact"))
    assert isinstance(batch, EventsBatch)
    (moved,) = batch.events
    assert moved.time == NOW + timedelta(seconds=65)
    assert moved.data == {"started": (NOW + timedelta(seconds=5)).isoformat(), "duration_s": 60.0}


@given(values=st.dictionaries(st.sampled_from(PATHS), st.floats(0, 100), max_size=4))
def test_values_survive_by_their_codes(values: dict[str, float]) -> None:
    assert unpack_values(pack_values(values)) == (values, [])


def test_what_is_no_batch_is_said() -> None:
    with pytest.raises(WireError):
        numbered(KEY, "readings", b"WC" + bytes(40), "compact")
    assert checksum("a text") == -1
