"""What is known of the pads of one axle: how worn they were, what was measured since, and what these brakes' factor is.

Left and right of an axle take the same energy and are told apart only by what was measured on each: the other side's
thickness counts with the usual difference between the two as a further error.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from health.pads.calibration import K_HIGH, K_MEDIAN, Factor, Posterior, Stretch, Thickness, posterior
from health.pads.driving import Driving, Mark
from health.pads.parameters import BrakePadsParameters, Row

Side = Literal["Left", "Right", ""]  # "": the axle's
SIDES: Final[tuple[Side, Side]] = ("Left", "Right")
_SIDES_DIFFER: Final = 0.08  # standard deviation between left and right, share of the wear
_MOST_MEASUREMENTS: Final = 6  # kept per axle: the first holds the longest stretch, the newest the level
_OTHER_MAKE: Final = 0.25  # standard deviation of log k from one set of pads to the next of the same car
_HARD_USE: Final = 2.0  # times the energy per km of mixed driving: hills, city, a load
_SLOW_ERROR: Final = 0.2  # share of energy seen in samples too far apart: tests/benchmarks/health/fit_pads.py
_OUTLIER: Final = 3.0  # standard deviations beyond which a measurement is believed less
_PRIOR_CHANGE: Final = 0.05  # that pads were changed and nobody said so, between two measurements
_PRIOR_TOLD_WRONG: Final = 0.05  # that the wear told for the start is another car's, axle's or make of pad's
CHANGED: Final = 0.5  # from this probability on they count as changed


class Measurement(msgspec.Struct, array_like=True, frozen=True):
    """A wear somebody measured."""

    time: datetime
    side: Side
    worn: float  # percent
    error: float  # standard deviation, percent
    mark: Mark


class Axle(msgspec.Struct, forbid_unknown_fields=True):
    """The pads of one axle since they were fitted, or since the first sample."""

    start: float | None  # percent worn, None: unknown
    at: Mark = msgspec.field(default_factory=Mark)  # the axle's totals then
    since: datetime | None = None  # when it began; None: with the first sample
    reason: str = ""
    known: tuple[float, float] | None = None  # of log factor, from former pads: mean, standard deviation
    measured: list[Measurement] = []
    suspected: Mark | None = None  # pads changed then, says the ECU's wear and nobody else
    certainty: float = 0.0  # of that


def stretch(parameters: BrakePadsParameters, driving: Driving, row: Row, begin: Mark, end: Mark) -> Stretch:
    """Driving between two marks as wear at the middle of the published range."""
    percent_per_mj = 100 * K_MEDIAN / 2 / parameters.pad_volume_mm3(row)
    per_km = parameters.share(row) * driving.energy_mj_per_km(parameters)
    unseen_mj = (end.unseen_km - begin.unseen_km) * per_km
    doubt_mj = _SLOW_ERROR * (end.slow_j - begin.slow_j) / 1e6 + parameters.unseen_error * unseen_mj
    doubt_mj = math.hypot(doubt_mj, math.sqrt(max(0.0, end.doubt_km2 - begin.doubt_km2)) * per_km)
    energy_mj = (end.worn_j - begin.worn_j) / 1e6 + unseen_mj
    return Stretch(wear=percent_per_mj * energy_mj, doubt=percent_per_mj * doubt_mj)


def start_span(parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle) -> float:
    """Percent up to which pads of unknown wear may have been worn at the start: a young car's cannot be worn far."""
    if axle.since is not None or driving.first_odometer_m is None:
        return 100.0
    per_km = 100 * K_HIGH / 2 / parameters.pad_volume_mm3(row) * parameters.share(row)
    per_km *= parameters.prior_energy_mj_per_km * parameters.mass_kg / 1500
    return min(100.0, _HARD_USE * per_km * driving.first_odometer_m / 1000)


def now_mark(parameters: BrakePadsParameters, driving: Driving, row: Row) -> Mark:
    """The axle's totals with the deceleration that still runs."""
    mark = driving.mark(row)
    running_j = driving.running_worn_j(parameters, row)
    return Mark(mark.worn_j + running_j, mark.slow_j, mark.unseen_km, mark.doubt_km2)


def learned(parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle, side: Side = "") -> Posterior:
    """Factor and wear right after the last measurement."""
    thicknesses, before = [], axle.at
    for one in axle.measured:
        between = stretch(parameters, driving, row, before, one.mark)
        other = 0.0 if one.side in {"", side} or side == "" else _SIDES_DIFFER * one.worn
        thicknesses.append(Thickness(stretch=between, worn=one.worn, error=math.hypot(one.error, other)))
        before = one.mark
    known = None if axle.known is None else Factor(mean=axle.known[0], deviation=axle.known[1])
    return posterior(
        start=axle.start,
        known=known,
        usual=parameters.hidden_energy,
        spread=driving.factor_error(parameters),
        drift=driving.drift_error(parameters),
        measured=thicknesses,
        start_span=start_span(parameters, driving, row, axle),
    )


def since_measured(parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle) -> Stretch:
    """Driving since the last measurement, or since the start."""
    begin = axle.measured[-1].mark if axle.measured else axle.at
    return stretch(parameters, driving, row, begin, now_mark(parameters, driving, row))


def mark_at(driving: Driving, row: Row, axle: Axle, time: datetime, newest: datetime | None) -> Mark:
    """The axle's totals at a moment that may be past, straight in time between those that are known."""
    before: tuple[datetime | None, Mark] = (axle.since or driving.first, axle.at)
    for moment, mark in [*((one.time, one.mark) for one in axle.measured), (newest, driving.mark(row))]:
        if moment is None or before[0] is None:
            return driving.mark(row)
        if time < moment:
            whole = (moment - before[0]).total_seconds()
            share = max(0.0, (time - before[0]).total_seconds() / whole) if whole > 0 else 0.0
            return before[1].towards(mark, share)
        before = (moment, mark)
    return driving.mark(row)


def replaced(
    parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle, *, time: datetime, reason: str, mark: Mark
) -> Axle:
    """The axle with new pads; what was learned of its brakes' factor stays, less sure.

    What was measured after that moment, but told before this, is of the new pads.
    """
    before = _with(axle, [one for one in axle.measured if one.time <= time])
    later = [one for one in axle.measured if one.time > time]
    known = _passed_on(parameters, driving, row, before)
    return Axle(start=0.0, at=mark, since=time, reason=reason, known=known, measured=later)


def _passed_on(parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle) -> tuple[float, float] | None:
    if axle.known is None and not axle.measured:
        return None
    factor = learned(parameters, driving, row, axle).factor()
    return factor.mean, math.hypot(factor.deviation, _OTHER_MAKE)


def with_measurement(
    parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle, new: Measurement, reason: str
) -> tuple[Axle, float]:
    """The axle with one measurement more, and the probability that its pads were changed before it.

    Less wear than these pads can have means other pads: what was learned of the factor stays, the level is the
    measured one, and what those pads had behind them is unknown. More wear than they can have since a start that was
    told means that the start was not so, and is unknown.
    """
    earlier = [one for one in axle.measured if one.time <= new.time]
    later = [one for one in axle.measured if one.time > new.time]
    kept = _with(axle, earlier)
    if axle.start is None and not earlier:
        return _with(axle, [new, *later]), 0.0
    base = learned(parameters, driving, row, kept, new.side)
    between = stretch(parameters, driving, row, earlier[-1].mark if earlier else axle.at, new.mark)
    predicted = base.after(between)
    if not earlier and _told_wrong(predicted, new):
        kept.start = None
        return _with(kept, [new, *later]), 0.0
    probability = _changed_probability(base, predicted, new)
    if probability >= CHANGED and not later:
        known = _passed_on(parameters, driving, row, kept)
        return Axle(start=None, at=new.mark, since=new.time, reason=reason, known=known, measured=[new]), probability
    believed = _believed(predicted, new) if earlier else new  # before the first the factor is anybody's guess
    return _with(axle, _thinned([*earlier, believed, *later])), probability


def _with(axle: Axle, measured: list[Measurement]) -> Axle:
    return Axle(start=axle.start, at=axle.at, since=axle.since, reason=axle.reason, known=axle.known, measured=measured)


def _told_wrong(predicted: Posterior, new: Measurement) -> bool:
    """Whether pads were rather not as worn at the start as was told: by Bayes' rule against a start from anywhere."""
    if new.worn <= predicted.median():
        return False
    return (1 - _PRIOR_TOLD_WRONG) * predicted.density(new.worn, new.error) < _PRIOR_TOLD_WRONG / 100


def _changed_probability(base: Posterior, predicted: Posterior, new: Measurement) -> float:
    """Bayes' rule for new pads fitted at any moment of the stretch against the pads there were."""
    if new.worn >= predicted.median():
        return 0.0
    most = max(1.0, predicted.quantile(0.95) - base.quantile(0.05))  # new pads can have lost since
    edge = new.error * math.sqrt(2)
    fresh = (math.erfc((new.worn - most) / edge) - math.erfc(new.worn / edge)) / 2 / most
    fresh = max(0.0, fresh) + 0.5 * math.exp(-((new.worn / new.error) ** 2) / 2) / new.error / math.sqrt(2 * math.pi)
    same = predicted.density(new.worn, new.error)
    odds = _PRIOR_CHANGE * fresh
    total = odds + (1 - _PRIOR_CHANGE) * same
    return odds / total if total > 0 else 0.0


def _believed(predicted: Posterior, new: Measurement) -> Measurement:
    """The measurement, with a larger error where it lies far outside what is possible."""
    low, high = predicted.quantile(0.16), predicted.quantile(0.84)
    middle, own = (low + high) / 2, (high - low) / 2
    needed = (abs(new.worn - middle) / _OUTLIER) ** 2 - own**2
    error = max(new.error, math.sqrt(max(0.0, needed)))
    return Measurement(new.time, new.side, new.worn, error, new.mark)


def _thinned(measured: Sequence[Measurement]) -> list[Measurement]:
    """Where there are too many the second goes."""
    return [*measured[:1], *measured[2:]] if len(measured) > _MOST_MEASUREMENTS else list(measured)


def adjusted(parameters: BrakePadsParameters, driving: Driving, row: Row, axle: Axle) -> Axle:
    """The axle after work on its brakes, a caliper freed say: the level stays, the factor learned is void."""
    if driving.last is None or (axle.start is None and not axle.measured):
        return axle
    wear = learned(parameters, driving, row, axle).after(since_measured(parameters, driving, row, axle))
    error = max(1.0, (wear.quantile(0.84) - wear.quantile(0.16)) / 2)
    now = now_mark(parameters, driving, row)
    level = Measurement(driving.last, "", wear.median(), error, now)
    return Axle(start=None, at=now, since=axle.since, reason=axle.reason, measured=[level])


def percent_per_km(parameters: BrakePadsParameters, driving: Driving, row: Row) -> float:
    """Nominal wear per km at the recent mix of driving, heat included."""
    percent_per_mj = 100 * K_MEDIAN / 2 / parameters.pad_volume_mm3(row)
    cool_j = parameters.share(row) * driving.seen_j
    heat = driving.brake(row).worn_j / cool_j if cool_j > 0 else 1.0
    return percent_per_mj * heat * parameters.share(row) * driving.energy_mj_per_km(parameters, recent=True)
