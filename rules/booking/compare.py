"""Compares workshops and finds the best offers: pure, and the same input always gives the same answer."""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice

from rules.booking.policy import BookingPolicy, Weights
from rules.booking.records import Candidate, Offer, Severity, Slot
from rules.booking.slots import free_slots

_EARTH_RADIUS_KM = 6371.0088  # mean radius of the WGS 84 ellipsoid (IUGG)
_ONE_DAY = timedelta(days=1)
# Further slots of one workshop that are looked at when there are fewer workshops than offers.
_SLOTS_LOOKED_AT = 2000


def distance_km(latitude_a: float, longitude_a: float, latitude_b: float, longitude_b: float) -> float:
    """Great-circle distance in kilometres between two places in degrees (haversine formula)."""
    phi_a, phi_b = math.radians(latitude_a), math.radians(latitude_b)
    half_phi = (phi_b - phi_a) / 2
    half_lambda = math.radians(longitude_b - longitude_a) / 2
    chord = math.sin(half_phi) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(half_lambda) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))


def score(candidate: Candidate, start: datetime, *, now: datetime, cheapest: Decimal | None, weights: Weights) -> float:
    """Points of an offer, lower is better: the sum of what distance, waiting, price and rating cost.

    ``cheapest`` is the lowest price for the job in the candidate's currency. Prices in different currencies are not
    compared: each is compared with the cheapest of its own. A job that costs nothing costs no points.
    """
    above_percent = 0.0
    if cheapest:
        above_percent = float((candidate.price - cheapest) / cheapest * 100)
    return (
        weights.per_km * candidate.distance_km
        + weights.per_day * ((start - now) / _ONE_DAY)
        + weights.per_price_percent * above_percent
        + weights.per_star * (5.0 - candidate.rating)
    )


def best_offers(
    candidates: Sequence[Candidate], *, severity: Severity, now: datetime, policy: BookingPolicy
) -> tuple[Offer, ...]:
    """Return up to ``policy.offers`` offers, best first: of each workshop its earliest slot.

    With fewer workshops than offers the rest are further slots, at least ``policy.variety`` apart at one workshop, so
    that the owner has a choice and not the same morning three times.
    """
    cheapest: dict[str, Decimal] = {}
    for candidate in candidates:
        price = cheapest.get(candidate.currency, candidate.price)
        cheapest[candidate.currency] = min(price, candidate.price)

    weights = policy.weights[severity]

    def offer_of(candidate: Candidate, slot: Slot) -> Offer:
        points = score(candidate, slot.period.start, now=now, cheapest=cheapest[candidate.currency], weights=weights)
        return Offer(
            workshop_id=candidate.calendar.workshop_id,
            slot=slot,
            price=candidate.price,
            currency=candidate.currency,
            distance_km=candidate.distance_km,
            rating=candidate.rating,
            score=points,
        )

    firsts: list[Offer] = []
    further: list[Offer] = []
    for candidate in candidates:
        slots = list(
            islice(_varied(_slots_of(candidate, severity=severity, now=now, policy=policy), policy), policy.offers)
        )
        offers = [offer_of(candidate, slot) for slot in slots]
        firsts += offers[:1]
        further += offers[1:]
    chosen = sorted(firsts, key=_order)[: policy.offers]
    chosen += sorted(further, key=_order)[: policy.offers - len(chosen)]
    return tuple(sorted(chosen, key=_order))


def _slots_of(candidate: Candidate, *, severity: Severity, now: datetime, policy: BookingPolicy) -> Iterator[Slot]:
    return islice(
        free_slots(
            candidate.calendar,
            skill=candidate.skill,
            duration=candidate.duration,
            earliest=policy.earliest(now, severity, candidate.calendar.zone),
            latest=now + policy.horizon,
            step=policy.step,
        ),
        _SLOTS_LOOKED_AT,
    )


def _varied(slots: Iterable[Slot], policy: BookingPolicy) -> Iterator[Slot]:
    """Keep those that start at least ``policy.variety`` after the one kept before."""
    last: datetime | None = None
    for slot in slots:
        if last is None or slot.period.start - last >= policy.variety:
            yield slot
            last = slot.period.start


def _order(offer: Offer) -> tuple[float, datetime, str, str]:
    # Equal points: the earlier, then a fixed order, so that two runs never differ.
    return (offer.score, offer.slot.period.start, str(offer.workshop_id), str(offer.slot.bay_id))
