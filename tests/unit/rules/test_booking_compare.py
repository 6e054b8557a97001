"""Comparing workshops: the points, the variety, and that the answer is always the same."""

import random
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.booking.compare import best_offers, distance_km, score
from rules.booking.policy import BookingPolicy, Weights
from rules.booking.records import Bay, Candidate, OpeningHours, Severity, WorkshopCalendar

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
POLICY = BookingPolicy()
ALL_WEEK = tuple(OpeningHours(weekday=day, opens=time(8), closes=time(17)) for day in range(1, 8))


def candidate(
    number: int,
    *,
    price: str = "100",
    currency: str = "EUR",
    rating: float = 5.0,
    km: float = 0.0,
    hours: tuple[OpeningHours, ...] = ALL_WEEK,
) -> Candidate:
    return Candidate(
        calendar=WorkshopCalendar(
            workshop_id=UUID(int=number),
            time_zone="Europe/Berlin",
            hours=hours,
            bays=(Bay(id=UUID(int=1000 + number), name="A", skills=frozenset({"mechanical"})),),
        ),
        name=f"Workshop {number}",
        skill="mechanical",
        duration=timedelta(hours=1),
        price=Decimal(price),
        currency=currency,
        rating=rating,
        distance_km=km,
    )


@pytest.mark.parametrize(
    ("a", "b", "kilometres"),
    [
        ((52.52, 13.405), (48.137, 11.575), 504.4),  # Berlin to Munich
        ((0.0, 179.5), (0.0, -179.5), 111.2),  # across the date line
        ((90.0, 0.0), (-90.0, 0.0), 20015.1),
        ((31.23, 121.47), (31.23, 121.47), 0.0),
    ],
)
def test_distances(a: tuple[float, float], b: tuple[float, float], kilometres: float) -> None:
    assert distance_km(*a, *b) == pytest.approx(kilometres, abs=0.5)
    assert distance_km(*b, *a) == pytest.approx(distance_km(*a, *b))


def test_points_are_the_sum_of_distance_waiting_price_and_rating() -> None:
    weights = Weights(per_km=1, per_day=10, per_price_percent=1, per_star=20)
    points = score(
        candidate(1, price="110", rating=4.5, km=12),
        NOW + timedelta(days=2),
        now=NOW,
        cheapest=Decimal(100),
        weights=weights,
    )
    assert points == pytest.approx(12 + 20 + 10 + 10)


def test_a_free_job_divides_nothing() -> None:
    (offer,) = best_offers([candidate(1, price="0")], severity="soon", now=NOW, policy=BookingPolicy(offers=1))
    assert offer.price == 0


def test_prices_of_different_currencies_are_not_compared() -> None:
    near, far = candidate(1, price="700", currency="CNY"), candidate(2, price="100", km=5)
    offers = best_offers([far, near], severity="soon", now=NOW, policy=BookingPolicy(offers=2))
    assert [offer.workshop_id.int for offer in offers] == [1, 2]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (candidate(1, km=1), candidate(2, km=30)),
        (candidate(1, price="100"), candidate(2, price="150")),
        (candidate(1, rating=5.0), candidate(2, rating=2.0)),
        (candidate(1), candidate(2, hours=(OpeningHours(weekday=5, opens=time(8), closes=time(17)),))),
    ],
)
def test_each_quality_counts(better: Candidate, worse: Candidate) -> None:
    for given_order in ([better, worse], [worse, better]):
        offers = best_offers(given_order, severity="soon", now=NOW, policy=POLICY)
        assert offers[0].workshop_id == better.calendar.workshop_id


def test_three_workshops_give_one_offer_each() -> None:
    offers = best_offers([candidate(n, km=n) for n in range(1, 8)], severity="soon", now=NOW, policy=POLICY)
    assert [offer.workshop_id.int for offer in offers] == [1, 2, 3]


def test_fewer_workshops_are_filled_with_slots_some_hours_apart() -> None:
    offers = best_offers([candidate(1)], severity="soon", now=NOW, policy=POLICY)
    begins = [offer.slot.period.start for offer in offers]
    assert len(begins) == 3
    assert all(later - earlier >= POLICY.variety for earlier, later in pairwise(begins))
    two = best_offers([candidate(1), candidate(2, km=50)], severity="soon", now=NOW, policy=POLICY)
    assert {offer.workshop_id.int for offer in two} == {1, 2}


def test_urgent_work_may_be_today_and_other_work_is_not() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    (today,) = best_offers([candidate(1)], severity="urgent", now=NOW, policy=BookingPolicy(offers=1))
    assert today.slot.period.start == NOW + POLICY.lead
    (tomorrow,) = best_offers([candidate(1)], severity="soon", now=NOW, policy=BookingPolicy(offers=1))
    assert tomorrow.slot.period.start == datetime(2026, 3, 3, 8, 0, tzinfo=berlin)


def test_late_in_the_evening_the_lead_time_still_counts() -> None:
    late = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)  # 23:30 in Berlin
    assert POLICY.earliest(late, "soon", ZoneInfo("Europe/Berlin")) == late + POLICY.lead


def test_a_policy_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="hold must be longer"):
        BookingPolicy(hold=timedelta())
    with pytest.raises(ValueError, match="offers must be at least 1"):
        BookingPolicy(offers=0)


candidate_lists = st.lists(
    st.builds(
        lambda price, rating, km, days: (price, rating, km, days),
        st.integers(0, 500),
        st.integers(10, 50),
        st.integers(0, 80),
        st.sets(st.integers(1, 7)),
    ),
    max_size=6,
)
severities: st.SearchStrategy[Severity] = st.sampled_from(["info", "soon", "urgent", "stop"])


@settings(max_examples=100, deadline=None)
@given(candidate_lists, severities, st.randoms(use_true_random=False))
def test_the_answer_depends_on_nothing_but_the_candidates(
    drawn: list[tuple[int, int, int, set[int]]], severity: Severity, order: random.Random
) -> None:
    candidates = [
        candidate(
            number,
            price=str(price),
            rating=rating / 10,
            km=km,
            hours=tuple(OpeningHours(weekday=day, opens=time(8), closes=time(17)) for day in days),
        )
        for number, (price, rating, km, days) in enumerate(drawn)
    ]
    offers = best_offers(candidates, severity=severity, now=NOW, policy=POLICY)
    shuffled = list(candidates)
    order.shuffle(shuffled)
    assert best_offers(shuffled, severity=severity, now=NOW, policy=POLICY) == offers
    assert [offer.score for offer in offers] == sorted(offer.score for offer in offers)
    able = sum(1 for *_, days in drawn if days)
    assert len(offers) == (0 if able == 0 else POLICY.offers)
    if able >= POLICY.offers:
        assert len({offer.workshop_id for offer in offers}) == POLICY.offers
    for offer in offers:
        assert offer.slot.period.start >= POLICY.earliest(NOW, severity, ZoneInfo("Europe/Berlin"))
        assert offer.slot.period.end <= NOW + POLICY.horizon
