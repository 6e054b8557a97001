"""Free slots: never outside the wall clock's opening hours, on closed days, in a taken bay or one without the skill."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.booking.records import Bay, OpeningHours, Period, WorkshopCalendar
from rules.booking.slots import free_slots, opening_periods

BERLIN = "Europe/Berlin"
HALF_HOUR = timedelta(minutes=30)
BAY = Bay(id=UUID(int=1), name="A", skills=frozenset({"mechanical"}))
SPRING = date(2026, 3, 29)  # a Sunday: 02:00 to 03:00 is skipped
AUTUMN = date(2026, 10, 25)  # a Sunday: 02:00 to 03:00 comes twice


def calendar(
    *hours: tuple[int, str, str],
    zone: str = BERLIN,
    bays: tuple[Bay, ...] = (BAY,),
    closures: frozenset[date] = frozenset(),
    taken: Mapping[UUID, tuple[Period, ...]] | None = None,
) -> WorkshopCalendar:
    return WorkshopCalendar(
        workshop_id=UUID(int=9),
        time_zone=zone,
        hours=tuple(
            OpeningHours(weekday=day, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes))
            for day, opens, closes in hours
        ),
        bays=bays,
        closures=closures,
        taken=taken or {},
    )


def starts(
    workshop: WorkshopCalendar,
    day: date,
    *,
    duration: timedelta = timedelta(hours=1),
    earliest: datetime | None = None,
    days: int = 1,
) -> list[str]:
    zone = workshop.zone
    midnight = datetime.combine(day, time(), tzinfo=zone)
    slots = free_slots(
        workshop,
        skill="mechanical",
        duration=duration,
        earliest=earliest or midnight,
        latest=midnight + timedelta(days=days),
        step=HALF_HOUR,
    )
    return [slot.period.start.astimezone(zone).strftime("%H:%M") for slot in slots]


def test_slots_lie_on_a_grid_from_opening_and_end_before_closing() -> None:
    monday = date(2026, 3, 2)
    assert starts(calendar((1, "08:15", "10:00")), monday) == ["08:15", "08:45"]
    assert starts(calendar((1, "08:00", "10:00")), monday, duration=timedelta(hours=2)) == ["08:00"]
    assert starts(calendar((1, "08:00", "10:00")), monday, duration=timedelta(minutes=121)) == []
    assert starts(calendar((2, "08:00", "10:00")), monday) == []


def test_the_lead_time_moves_no_grid() -> None:
    earliest = datetime(2026, 3, 2, 8, 10, tzinfo=ZoneInfo(BERLIN))
    assert starts(calendar((1, "08:00", "10:00")), date(2026, 3, 2), earliest=earliest) == ["08:30", "09:00"]


def test_a_lunch_break_is_kept_and_touching_hours_are_joined() -> None:
    monday = date(2026, 3, 2)
    assert starts(calendar((1, "08:00", "09:00"), (1, "13:00", "14:00")), monday) == ["08:00", "13:00"]
    assert starts(calendar((1, "08:00", "09:00"), (1, "09:00", "10:00")), monday) == ["08:00", "08:30", "09:00"]


def test_touching_bookings_leave_the_time_between() -> None:
    def local(hour: int) -> datetime:
        return datetime(2026, 3, 2, hour, tzinfo=ZoneInfo(BERLIN))

    taken = {BAY.id: (Period(start=local(8), end=local(9)), Period(start=local(10), end=local(11)))}
    assert starts(calendar((1, "08:00", "12:00"), taken=taken), date(2026, 3, 2)) == ["09:00", "11:00"]


def test_the_other_bay_is_free() -> None:
    other = Bay(id=UUID(int=2), name="B", skills=frozenset({"mechanical", "high_voltage"}))
    full = Period(start=datetime(2026, 3, 2, tzinfo=UTC), end=datetime(2026, 3, 3, tzinfo=UTC))
    workshop = calendar((1, "08:00", "09:00"), bays=(BAY, other), taken={BAY.id: (full,)})
    slots = free_slots(
        workshop,
        skill="mechanical",
        duration=timedelta(hours=1),
        earliest=full.start,
        latest=full.end,
        step=HALF_HOUR,
    )
    assert [slot.bay_id for slot in slots] == [other.id]


@pytest.mark.parametrize(
    ("opens", "closes", "expected"),
    [
        ("01:00", "04:00", ["01:00", "01:30", "03:00", "03:30"]),  # the night is an hour shorter
        ("02:30", "04:00", ["03:00", "03:30"]),  # opens in the skipped hour: at the change
        ("01:00", "02:30", ["01:00", "01:30"]),  # closes in the skipped hour: at the change
        ("02:15", "02:45", []),  # wholly in the skipped hour
    ],
)
def test_the_hour_that_is_skipped(opens: str, closes: str, expected: list[str]) -> None:
    assert starts(calendar((7, opens, closes)), SPRING, duration=HALF_HOUR) == expected


@pytest.mark.parametrize(
    ("opens", "closes", "expected"),
    [
        ("01:30", "03:30", ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]),
        ("02:30", "03:30", ["02:30", "03:00"]),  # opens at the later 02:30
        ("01:30", "02:30", ["01:30", "02:00"]),  # closes at the earlier 02:30
    ],
)
def test_the_hour_that_comes_twice(opens: str, closes: str, expected: list[str]) -> None:
    assert starts(calendar((7, opens, closes)), AUTUMN, duration=HALF_HOUR) == expected


def test_a_day_with_a_shifted_clock_has_as_many_working_hours_as_any() -> None:
    (period,) = opening_periods(calendar((7, "08:00", "17:00")), SPRING, SPRING)
    assert period.duration == timedelta(hours=9)
    assert period.start == datetime(2026, 3, 29, 6, 0, tzinfo=UTC)


@pytest.mark.parametrize(("opens", "closes"), [("09:00", "08:00"), ("09:00", "09:00")])
def test_hours_that_never_open_are_refused(opens: str, closes: str) -> None:
    with pytest.raises(ValueError, match="must close after they open"):
        calendar((1, opens, closes))


def test_a_naive_period_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Period(start=datetime(2026, 1, 1), end=datetime(2026, 1, 2, tzinfo=UTC))  # noqa: DTZ001 - what is refused


# Zones with clocks that change by an hour, by half an hour (Lord Howe), at midnight (Beirut), and never.
ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Asia/Shanghai", "UTC"])
SKILLS = ("mechanical", "high_voltage", "tires")
clocks = st.integers(0, 24 * 4 - 1).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))


@st.composite
def opening_hours(draw: st.DrawFn) -> OpeningHours:
    first, second = sorted(draw(st.lists(clocks, min_size=2, max_size=2, unique=True)))
    return OpeningHours(weekday=draw(st.integers(1, 7)), opens=first, closes=second)


@st.composite
def calendars(draw: st.DrawFn) -> tuple[WorkshopCalendar, datetime]:
    zone = draw(ZONES)
    first = draw(st.dates(date(2026, 1, 1), date(2026, 12, 20)))
    origin = datetime.combine(first, time(), tzinfo=UTC)
    bays = tuple(
        Bay(id=uuid4(), name=f"Bay {number}", skills=frozenset(draw(st.sets(st.sampled_from(SKILLS)))))
        for number in range(draw(st.integers(1, 3)))
    )
    quarters = st.integers(0, 7 * 96)
    lengths = st.integers(1, 40)
    taken = {}
    for bay in bays:
        periods = []
        for begin, length in draw(st.lists(st.tuples(quarters, lengths), max_size=6)):
            start = origin + begin * timedelta(minutes=15)
            periods.append(Period(start=start, end=start + length * timedelta(minutes=15)))
        taken[bay.id] = tuple(periods)
    workshop = WorkshopCalendar(
        workshop_id=uuid4(),
        time_zone=zone,
        hours=tuple(draw(st.lists(opening_hours(), max_size=8))),
        closures=frozenset(first + timedelta(days=day) for day in draw(st.sets(st.integers(0, 7), max_size=3))),
        bays=bays,
        taken=taken,
    )
    return workshop, origin


@settings(max_examples=150, deadline=None)
@given(calendars(), st.sampled_from(SKILLS), st.integers(1, 20), st.integers(0, 200))
def test_no_slot_breaks_a_rule(
    made: tuple[WorkshopCalendar, datetime], skill: str, quarters: int, lead_quarters: int
) -> None:
    workshop, origin = made
    zone = workshop.zone
    earliest = origin + lead_quarters * timedelta(minutes=15)
    latest = origin + timedelta(days=7)
    duration = quarters * timedelta(minutes=15)
    skilled = {bay.id for bay in workshop.bays if skill in bay.skills}
    previous: datetime | None = None
    for slot in free_slots(workshop, skill=skill, duration=duration, earliest=earliest, latest=latest, step=HALF_HOUR):
        assert slot.bay_id in skilled
        assert slot.period.duration == duration
        assert earliest <= slot.period.start
        assert slot.period.end <= latest
        assert not any(slot.period.overlaps(other) for other in workshop.taken[slot.bay_id])
        assert previous is None or previous <= slot.period.start
        previous = slot.period.start
        moment = slot.period.start
        while moment < slot.period.end:  # at each minute the clock on the wall says: open
            wall = moment.astimezone(zone)
            assert wall.date() not in workshop.closures
            assert any(
                hours.weekday == wall.isoweekday() and hours.opens <= wall.time() < hours.closes
                for hours in workshop.hours
            ), wall
            moment += timedelta(minutes=1 if quarters == 1 else 5)


@settings(max_examples=60, deadline=None)
@given(calendars(), st.sampled_from(SKILLS))
def test_no_free_time_is_withheld(made: tuple[WorkshopCalendar, datetime], skill: str) -> None:
    """On days without a change of the clock, each start of the grid that breaks no rule is offered."""
    workshop, origin = made
    zone = workshop.zone
    latest = origin + timedelta(days=7)
    duration = timedelta(minutes=45)
    offered = {
        (slot.bay_id, slot.period.start)
        for slot in free_slots(workshop, skill=skill, duration=duration, earliest=origin, latest=latest, step=HALF_HOUR)
    }
    for opened in opening_periods(workshop, origin.astimezone(zone).date(), latest.astimezone(zone).date()):
        start = opened.start
        while start + duration <= opened.end:
            period = Period(start=start, end=start + duration)
            for bay in workshop.bays:
                expected = (
                    skill in bay.skills
                    and origin <= period.start
                    and period.end <= latest
                    and not any(period.overlaps(other) for other in workshop.taken[bay.id])
                )
                assert ((bay.id, start) in offered) == expected
            start += HALF_HOUR
