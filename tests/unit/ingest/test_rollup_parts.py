"""Which table answers for which part of a period, and parts put together again."""

import itertools
import statistics
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import ReadingStoreError
from ingest.rollups.parts import Granularity, Part, RolledUp, combine, merged, parts

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

moments = st.integers(0, 360 * 86400).map(lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second))


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def test_days_come_from_days_then_hours_then_raw_rows() -> None:
    found = parts(at(1, 7), at(5, 15), at(5, 12), "day")
    assert found == [
        Part(table="rollup_day", start=at(1), end=at(5)),
        Part(table="rollup_hour", start=at(5), end=at(5, 12)),
        Part(table="reading", start=at(5, 12), end=at(6)),
    ]


def test_the_past_needs_one_table() -> None:
    assert parts(at(1), at(3), NOON, "day") == [Part(table="rollup_day", start=at(1), end=at(3))]
    assert parts(at(1, 7), at(1, 9), NOON, "hour") == [Part(table="rollup_hour", start=at(1, 7), end=at(1, 9))]


def test_without_any_roll_up_raw_rows_answer() -> None:
    assert parts(at(1), at(3), None, "day") == [Part(table="reading", start=at(1), end=at(3))]


def test_an_empty_period_is_refused() -> None:
    with pytest.raises(ReadingStoreError, match="is empty"):
        parts(NOON, NOON, None, "day")


@given(start=moments, length=st.timedeltas(timedelta(seconds=1), timedelta(days=40)), settled=st.none() | moments,
       by=st.sampled_from(["hour", "day"]))  # fmt: skip
def test_parts_cover_the_period_once(
    start: datetime, length: timedelta, settled: datetime | None, by: Granularity
) -> None:
    settled = None if settled is None else settled.replace(minute=0, second=0, microsecond=0)
    found = parts(start, start + length, settled, by)
    assert found[0].start <= start < found[0].start + (HOUR if by == "hour" else DAY)
    assert found[-1].end - (HOUR if by == "hour" else DAY) < start + length <= found[-1].end
    assert all(one.end == following.start for one, following in itertools.pairwise(found))
    assert all(part.end <= settled for part in found if settled is not None and part.table != "reading")
    assert all(part.start >= settled for part in found if settled is not None and part.table == "reading")


readings = st.lists(
    st.tuples(moments, st.floats(-1e6, 1e6)), min_size=1, max_size=20, unique_by=lambda reading: reading[0]
)


def rolled(values: list[tuple[datetime, float]]) -> RolledUp:
    numbers = [value for _, value in values]
    last_at, last = max(values)
    return RolledUp(
        count=len(values),
        minimum=min(numbers),
        maximum=max(numbers),
        mean=statistics.fmean(numbers),
        last=last,
        last_at=last_at,
    )


def close(one: RolledUp, other: RolledUp) -> bool:
    exact = (one.count, one.minimum, one.maximum, one.last, one.last_at)
    return exact == (other.count, other.minimum, other.maximum, other.last, other.last_at) and one.mean == (
        pytest.approx(other.mean, abs=1e-6)
    )


@given(readings, st.data())
def test_merging_parts_is_rolling_up_the_whole(values: list[tuple[datetime, float]], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    one, other = values[:cut], values[cut:]
    if one and other:
        assert close(merged(rolled(one), rolled(other)), rolled(values))
        assert close(merged(rolled(other), rolled(one)), rolled(values))


def test_stretches_of_a_day_become_one_bucket() -> None:
    found = combine([(at(2, 5), rolled([(at(2, 5), 1.0)])), (at(1), rolled([(at(1), 7.0)])),
                     (at(2, 9), rolled([(at(2, 9), 3.0)]))], "day")  # fmt: skip
    assert [(bucket.start, bucket.value.count, bucket.value.mean) for bucket in found] == [
        (at(1), 1, 7.0),
        (at(2), 2, 2.0),
    ]
