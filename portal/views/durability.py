"""A traction battery against Euro 7's durability, in words. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from health.durability import Category, Durability, durability
from ingest.reading_store import EstimateState, VehicleState
from portal.formats import number
from portal.texts import Language, say
from telemetry.records import UNCERTAIN, Quantity

_YEAR_DAYS: Final = 365.25


@dataclass(frozen=True, kw_only=True)
class DurabilityPanel:
    """What the vehicle's page says: sentences, and the numbers where a stage applies."""

    position: Durability | None
    sentences: tuple[str, ...]


def battery_estimate(state: VehicleState) -> EstimateState | None:
    """The state of health that counts: ours with its interval before the car's own number; never a guess."""
    found = [
        entry
        for entry in state.estimates.values()
        if entry.quantity == Quantity.TRACTION_BATTERY_SOH and entry.limited_by not in UNCERTAIN
    ]
    return min(found, key=lambda entry: entry.source != "estimated", default=None)


def vehicle_durability(
    state: VehicleState, in_service_since: date | None, category: Category, now: datetime
) -> Durability | None:
    """Position of a vehicle's battery; None without a battery, without age and mileage, or past the last stage."""
    battery = battery_estimate(state)
    if battery is None:
        return None
    metres = state.value("traveled_distance")
    return durability(
        value=battery.value,
        low=battery.low,
        high=battery.high,
        age_years=age_years(in_service_since, now),
        mileage_km=None if metres is None else metres / 1000,
        category=category,
    )


def age_years(in_service_since: date | None, now: datetime) -> float | None:
    """Years since first registration; None where it is not known."""
    return None if in_service_since is None else max(0.0, (now.date() - in_service_since).days / _YEAR_DAYS)


def durability_panel(
    state: VehicleState, in_service_since: date | None, category: Category, now: datetime, language: Language
) -> DurabilityPanel | None:
    """The panel of the page; None for a car without a traction battery."""
    if battery_estimate(state) is None:
        return None
    found = vehicle_durability(state, in_service_since, category, now)
    if found is not None:
        return DurabilityPanel(position=found, sentences=_sentences(found, in_service_since is not None, language))
    unknown = in_service_since is None and state.value("traveled_distance") is None
    return DurabilityPanel(
        position=None, sentences=(say("durability.unknown" if unknown else "durability.over", language),)
    )


def _sentences(found: Durability, age_is_known: bool, language: Language) -> tuple[str, ...]:
    stage, below = found.stage, found.margin < 0
    sentences = [
        say(
            "durability.stage",
            language,
            required=number(stage.required),
            years=number(stage.years),
            km=f"{stage.km:,.0f}",
        ),
        say(
            "durability.below" if below else "durability.margin",
            language,
            margin=number(abs(found.margin), 1),
            low=number(-found.high if below else found.low, 1),
            high=number(-found.low if below else found.high, 1),
        ),
    ]
    if found.outlook is not None:
        word = {True: "durability.holds", False: "durability.fails", None: "durability.open"}[found.outlook.holds]
        sentences.append(say(word, language, soh=number(found.outlook.value)))
    if not found.certain:
        known = say("durability.known_age" if age_is_known else "durability.known_mileage", language)
        sentences.append(say("durability.partly", language, known=known))
    return tuple(sentences)
