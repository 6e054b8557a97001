"""Free slots of a workshop: pure time logic, no input or output.

Opening hours are wall-clock times; slots are instants. On the day the clocks change, a slot is offered only if the
wall clock is within the opening hours at each of its instants: hours that begin or end in the skipped hour begin or end
at the change, and where an hour comes twice, opening takes the later and closing the earlier of the two.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from rules.booking.records import Period, Slot, WorkshopCalendar

_ONE_DAY = timedelta(days=1)


def _readings(day: date, clock: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both instants at which that wall-clock time could be meant (PEP 495); equal on ordinary days."""
    local = datetime.combine(day, clock, tzinfo=zone)
    return local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def _change_instant(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Find the instant between the two (in UTC) at which the zone's offset changes, by halving, to the second."""
    offset = before.astimezone(zone).utcoffset()
    low, high = 0, int((after - before).total_seconds())  # seconds after `before`: old offset at low, new at high
    while high - low > 1:
        middle = (low + high) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _instant(day: date, clock: time, zone: ZoneInfo, *, opening: bool) -> datetime:
    first, second = _readings(day, clock, zone)
    if first == second:
        return first
    if first > second:  # skipped: PEP 495 gives the later instant for fold=0
        return _change_instant(second, first, zone)
    return second if opening else first


def opening_periods(calendar: WorkshopCalendar, first_day: date, last_day: date) -> tuple[Period, ...]:
    """When the workshop is open on these local days (both included), in order, joined where they touch."""
    zone = calendar.zone
    periods: list[Period] = []
    day = first_day
    while day <= last_day:
        if day not in calendar.closures:
            for hours in calendar.hours:
                if hours.weekday != day.isoweekday():
                    continue
                start = _instant(day, hours.opens, zone, opening=True)
                end = _instant(day, hours.closes, zone, opening=False)
                if start < end:
                    periods.append(Period(start=start, end=end))
        day += _ONE_DAY
    return tuple(_joined(periods))


def _joined(periods: Iterable[Period]) -> Iterator[Period]:
    current: Period | None = None
    for period in sorted(periods):
        if current is None:
            current = period
        elif period.start <= current.end:
            current = Period(start=current.start, end=max(current.end, period.end))
        else:
            yield current
            current = period
    if current is not None:
        yield current


def free_slots(
    calendar: WorkshopCalendar,
    *,
    skill: str,
    duration: timedelta,
    earliest: datetime,
    latest: datetime,
    step: timedelta,
) -> Iterator[Slot]:
    """Yield the free slots for a job in order of start, then of the bay's name.

    None starts before ``earliest`` or ends after ``latest``. Starts lie on a grid of ``step`` counted from opening.
    Bays without the skill give nothing.
    """
    bays = sorted((bay for bay in calendar.bays if skill in bay.skills), key=lambda bay: (bay.name, bay.id))
    if not bays or earliest >= latest:
        return
    zone = calendar.zone
    taken = {bay.id: sorted(calendar.taken.get(bay.id, ())) for bay in bays}
    first_day = earliest.astimezone(zone).date()
    last_day = latest.astimezone(zone).date()
    for opened in opening_periods(calendar, first_day, last_day):
        steps = max(0, -((opened.start - earliest) // step))  # rounded up: the first start not before earliest
        start = opened.start + steps * step
        while start + duration <= min(opened.end, latest):
            period = Period(start=start, end=start + duration)
            for bay in bays:
                if not any(period.overlaps(other) for other in taken[bay.id]):
                    yield Slot(bay_id=bay.id, period=period)
            start += step
