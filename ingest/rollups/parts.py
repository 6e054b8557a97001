"""Which table answers for which part of a period, and how roll-ups of parts become one. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from ingest.errors import ReadingStoreError
from telemetry.records import require_aware

Granularity = Literal["hour", "day"]
Table = Literal["rollup_day", "rollup_hour", "reading"]

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class RolledUp:
    """All values of a signal in a stretch of time, in the catalogue's unit; ``count`` is at least one."""

    count: int
    minimum: float
    maximum: float
    mean: float
    last: float
    last_at: datetime


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An hour or a day in UTC that has values."""

    start: datetime
    value: RolledUp


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of a period, ``start <= time < end``, and the table that answers for it."""

    table: Table
    start: datetime
    end: datetime


def parts(start: datetime, end: datetime, settled_before: datetime | None, by: Granularity) -> list[Part]:
    """Parts of a period widened to whole hours or days: roll-ups up to ``settled_before``, raw rows from there on.

    None: nothing is rolled up. The day that is not over is made of its hours. ReadingStoreError for an empty period.
    """
    begin, until = whole(start, end, by)
    settled = begin if settled_before is None else settled_before
    borders: list[tuple[Table, datetime]] = [("rollup_hour", settled), ("reading", until)]
    if by == "day":
        borders.insert(0, ("rollup_day", _floor(settled, "day")))
    found = []
    for table, border in borders:
        upper = min(max(border, begin), until)
        if begin < upper:
            found.append(Part(table=table, start=begin, end=upper))
            begin = upper
    return found


def whole(start: datetime, end: datetime, by: Granularity) -> tuple[datetime, datetime]:
    """The period widened to whole hours or days in UTC. ReadingStoreError where it is empty."""
    require_aware(start, "start")
    require_aware(end, "end")
    if not start < end:
        raise ReadingStoreError(f"the period from {start} to {end} is empty; give a start before the end")
    until = _floor(end, by)
    return _floor(start, by), until if until == end else until + (_HOUR if by == "hour" else _DAY)


def merged(one: RolledUp, other: RolledUp) -> RolledUp:
    """Both as one, in any order; of values of one instant the last is the first's."""
    count = one.count + other.count
    newest = other if other.last_at > one.last_at else one
    return RolledUp(
        count=count,
        minimum=min(one.minimum, other.minimum),
        maximum=max(one.maximum, other.maximum),
        mean=(one.mean * one.count + other.mean * other.count) / count,
        last=newest.last,
        last_at=newest.last_at,
    )


def combine(found: Iterable[tuple[datetime, RolledUp]], by: Granularity) -> list[Bucket]:
    """Roll-ups of stretches that begin at these times, as whole hours or days, oldest first."""
    buckets: dict[datetime, RolledUp] = {}
    for begin, value in found:
        bucket = _floor(begin, by)
        known = buckets.get(bucket)
        buckets[bucket] = value if known is None else merged(known, value)
    return [Bucket(start=start, value=buckets[start]) for start in sorted(buckets)]


def _floor(time: datetime, by: Granularity) -> datetime:
    hour = time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if by == "hour" else hour.replace(hour=0)
