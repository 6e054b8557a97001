"""Signs of an oil change nobody reported, weighed by Bayes' rule.

    odds(changed | signs) = odds(changed) * product of P(sign | changed) / P(sign | not changed)

What can be seen on the bus: the car's own oil life goes up (somebody reset its indicator), the distance to the next
service goes up, codes were cleared (a workshop's tester was at it). All probabilities are ours, rounded judgements by
week: no record of real changes is at hand. What they decide is coarse: an indicator that was reset is believed,
cleared codes alone never are.
"""

import math
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from health import signals
from telemetry.records import Sample

Sign = Literal["oil_life_reset", "oil_life_raised", "service_reset", "codes_cleared"]

# P(sign | oil changed this week), P(sign | not changed this week)
_LIKELIHOODS: Final[dict[str, tuple[float, float]]] = {
    "oil_life_reset": (0.9, 1e-4),  # to 95 % or more, twice read; owners' manuals warn of a reset by mistake
    "oil_life_raised": (0.05, 1e-3),  # by more than 5 points but not to the top: another ECU, a calculation anew
    "service_reset": (0.8, 2e-3),  # another service alone is reset now and then
    "codes_cleared": (0.2, 0.04),
}
_WHY: Final[dict[str, str]] = {
    "oil_life_reset": "the car's own oil life went back to the top",
    "oil_life_raised": "the car's own oil life went up",
    "service_reset": "the distance to the next service went up",
    "codes_cleared": "trouble codes were cleared",
}
BELIEVED: Final = 0.5  # from here on a change is told, and the estimate's interval holds it
_TOGETHER: Final = timedelta(days=14)  # signs so close are of one visit to a workshop
_RAISED: Final = 5.0  # points
_TOP: Final = 95.0  # percent
_SERVICE_RAISED_KM: Final = 3000.0


class Falling(msgspec.Struct, forbid_unknown_fields=True):
    """A reading that falls slowly by itself and rises by a person only."""

    level: float | None = None
    jumped: float | None = None  # a reading far from it that waits for a second one: the first may be a misread


class ChangeWatch(msgspec.Struct, forbid_unknown_fields=True):
    """What the signs were last, and which were seen lately."""

    oil_life: Falling = msgspec.field(default_factory=Falling)  # percent
    service: Falling = msgspec.field(default_factory=Falling)  # km to it
    cleared_km: float | None = None
    seen: dict[str, datetime] = {}


def prior(used_share: float) -> float:
    """Probability that the oil was changed in a week and nobody said so; ``used_share``: of the filling, 1 = due."""
    if used_share < 0.5:
        return 0.005
    return 0.02 if used_share < 0.8 else 0.06


def look(watch: ChangeWatch, sample: Sample) -> bool:
    """Take a sample; whether a new sign is in it."""
    found = [_oil_life(watch, sample), _service(watch, sample), _codes(watch, sample)]
    signs = [sign for sign in found if sign is not None]
    watch.seen = {sign: time for sign, time in watch.seen.items() if sample.time - time <= _TOGETHER}
    watch.seen.update(dict.fromkeys(signs, sample.time))
    return bool(signs)


def certainty(watch: ChangeWatch, used_share: float) -> float:
    """Probability that the oil was changed, by the signs seen lately."""
    before = prior(used_share)
    log_odds = math.log(before / (1 - before))
    for sign in watch.seen:
        changed, unchanged = _LIKELIHOODS[sign]
        log_odds += math.log(changed / unchanged)
    return 1 / (1 + math.exp(-log_odds))


def why(watch: ChangeWatch) -> str:
    """The signs seen lately in words."""
    return "; ".join(_WHY[sign] for sign in watch.seen)


def forget(watch: ChangeWatch) -> None:
    """The change was reported: what is read from now on is of the new oil."""
    watch.oil_life, watch.service = Falling(), Falling()
    watch.seen = {}


def _oil_life(watch: ChangeWatch, sample: Sample) -> Sign | None:
    value = signals.read(sample, signals.OIL_LIFE)
    if value is None or not _risen(watch.oil_life, value, _RAISED):
        return None
    return "oil_life_reset" if value >= _TOP else "oil_life_raised"


def _service(watch: ChangeWatch, sample: Sample) -> Sign | None:
    kilometres = signals.read(sample, signals.DISTANCE_TO_SERVICE)
    return "service_reset" if kilometres is not None and _risen(watch.service, kilometres, _SERVICE_RAISED_KM) else None


def _risen(state: Falling, value: float, by: float) -> bool:
    if state.level is None or abs(value - state.level) <= by:
        state.level, state.jumped = value, None
        return False
    if state.jumped is None or abs(value - state.jumped) > by:
        state.jumped = value
        return False
    before, state.level, state.jumped = state.level, value, None
    return value > before


def _codes(watch: ChangeWatch, sample: Sample) -> Sign | None:
    kilometres = signals.read(sample, signals.DISTANCE_SINCE_CODES_CLEARED)
    if kilometres is None:
        return None
    before, watch.cleared_km = watch.cleared_km, kilometres
    return "codes_cleared" if before is not None and kilometres < before else None
