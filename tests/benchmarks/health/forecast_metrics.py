"""How good forecasts of a crossing are: warnings, intervals, and the measures of the prognostics field.

Terms: remaining useful life (RUL), prognostic horizon and alpha-lambda accuracy as in Saxena et al., International
Journal of Prognostics and Health Management 1 (2010); PICP, the prediction interval's coverage probability.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from health.forecast import AHEAD_DAYS, CrossingDays, crossed_shares, intervals
from health.forecasting.prior import Levels, TrendPrior
from health.forecasting.trend import Belief
from tests.benchmarks.health.forecast_cells import Cell, follow_all

WINDOW_DAYS: Final = 200  # before the true crossing in which dates are judged, once a week
FIRST_DAY: Final = 20  # of the record on which a forecast is asked for
EARLIEST_CROSSING: Final = FIRST_DAY + 31  # days of the record: a lead of 30 days must be possible
GRACE_DAYS: Final = 90  # before a record's end without a crossing: an alarm there may be right
_WEEK: Final = 7
_HORIZON_DAYS: Final = 365.0
_TO_30_DAYS: Final = AHEAD_DAYS[: AHEAD_DAYS.index(30) + 1]
_DAYS_AT_ONCE: Final = 16
_TOGETHER: Final = 48  # series of like length followed at once
_ALPHA_LAMBDA: Final = 0.2  # of the remaining life
_ALPHA_HORIZON: Final = 0.05  # of the whole life

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Track:
    """All forecasts for one noisy record: each day the probability, each week before the crossing the date."""

    name: str
    length: int  # days
    crossing: float  # day, NaN: not within the record
    probability_30d: Floats  # from FIRST_DAY on, one per day
    asked: Floats  # days on which dates were asked for
    early: Floats  # days from then, infinite: later than is computed; as median and late
    median: Floats
    late: Floats
    shares: Floats  # (days ahead, asked) before the conformal scaling

    @property
    def fleet(self) -> str:
        """The data set."""
        return self.name.partition("/")[0]

    @property
    def crosses(self) -> bool:
        """Whether the limit is crossed late enough in the record to be warned of in time."""
        return self.crossing >= EARLIEST_CROSSING

    @property
    def remaining(self) -> Floats:
        """True remaining life on the days asked."""
        return self.crossing - self.asked

    def warned(self, threshold: float) -> float:
        """First day on which the probability passes the threshold; NaN: never before the crossing or the end."""
        end = self.crossing if self.crosses else self.length
        passed = np.flatnonzero(self.probability_30d[: max(0, int(end) - FIRST_DAY)] > threshold)
        return float(passed[0] + FIRST_DAY) if passed.size else math.nan

    @property
    def places(self) -> Floats:
        """Where in each forecast's distribution the truth was found, 0 to 1: uniform where forecasts are honest."""
        days = np.array([0.0, *AHEAD_DAYS])
        return np.array(
            [np.interp(left, days, share) for left, share in zip(self.remaining, self.shares.T, strict=True)]
        )

    def last(self, days: float) -> "Track":
        """The dates asked for in the last so many days before the crossing."""
        kept = self.remaining <= days
        names = ("asked", "early", "median", "late")
        return replace(self, shares=self.shares[:, kept], **{name: getattr(self, name)[kept] for name in names})

    def with_levels(self, levels: Levels) -> "Track":
        """The same with other levels of the interval."""
        days = intervals(self.shares, levels)
        return replace(self, early=days.early, median=days.median, late=days.late)


def tracks(
    prior: TrendPrior, cells: Sequence[Cell], *, seeds: int, limit: float, window: float = WINDOW_DAYS
) -> list[Track]:
    """Forecasts for each cell under so many noises, dates in the last ``window`` days before the crossing."""
    jobs = sorted(((cell, seed) for cell in cells for seed in range(seeds)), key=lambda job: job[0].truth.size)
    return [
        track
        for begin in range(0, len(jobs), _TOGETHER)
        for track in _together(prior, jobs[begin : begin + _TOGETHER], limit, window)
    ]


def _together(prior: TrendPrior, jobs: Sequence[tuple[Cell, int]], limit: float, window: float) -> list[Track]:
    crossings = np.array([cell.crossing(limit) for cell, _ in jobs])
    soon: list[Floats] = []
    weekly: list[tuple[int, Floats]] = []
    followed = follow_all(prior, [cell.noisy(seed) for cell, seed in jobs], first=FIRST_DAY)
    for some in iter(lambda: list(islice(followed, _DAYS_AT_ONCE)), []):
        soon += list(crossed_shares(_stacked([day.belief for day in some]), prior, -limit, ahead=_TO_30_DAYS)[-1])
        for day in some:
            wanted = (crossings > day.number) & (crossings - day.number <= window)
            if day.number % _WEEK == 0 and wanted.any():
                weekly.append((day.number, crossed_shares(day.belief, prior, -limit)))
    probability = np.stack(soon, axis=1)
    found = []
    for row, (cell, _) in enumerate(jobs):
        kept = [(number, shares[:, row]) for number, shares in weekly if 0 < crossings[row] - number <= window]
        shares = np.stack([share for _, share in kept], axis=1) if kept else np.zeros((len(AHEAD_DAYS) + 1, 0))
        days: CrossingDays = intervals(shares, prior.interval_levels)
        found.append(
            Track(
                name=cell.name,
                length=cell.truth.size,
                crossing=float(crossings[row]),
                probability_30d=probability[row, : max(0, cell.truth.size - FIRST_DAY)],
                asked=np.array([float(number) for number, _ in kept]),
                early=days.early,
                median=days.median,
                late=days.late,
                shares=shares,
            )
        )
    return found


def _stacked(beliefs: Sequence[Belief]) -> Belief:
    """Beliefs of several days, the days first."""
    return Belief(**{field.name: np.stack([getattr(one, field.name) for one in beliefs]) for field in fields(Belief)})


@dataclass(frozen=True, kw_only=True)
class Warnings:
    """What became of the warnings at one threshold."""

    crossings: int
    missed: int
    leads: Floats  # days, of those not missed
    in_time: float  # share of all crossings with a lead of at least 30 days
    not_too_early: float  # share of those warned of with a lead of at most 90 days
    false_alarms_per_100_years: float
    years: float  # watched without a crossing


def warnings_of(found: Sequence[Track], threshold: float) -> Warnings:
    """Leads where the limit is crossed; first alarms, per time watched, where it is not."""
    crossing = [track for track in found if track.crosses]
    leads = np.array([track.crossing - track.warned(threshold) for track in crossing])
    calm = [track for track in found if math.isnan(track.crossing) and track.length > GRACE_DAYS + FIRST_DAY]
    years = sum(track.length - GRACE_DAYS - FIRST_DAY for track in calm) / 365.25
    alarms = sum(track.warned(threshold) < track.length - GRACE_DAYS for track in calm)
    known = leads[np.isfinite(leads)]
    return Warnings(
        crossings=len(crossing),
        missed=int(np.isnan(leads).sum()),
        leads=known,
        in_time=float((known >= 30).sum() / max(len(crossing), 1)),
        not_too_early=float((known <= 90).mean()) if known.size else math.nan,
        false_alarms_per_100_years=100 * alarms / years if years else math.nan,
        years=years,
    )


def coverage(found: Sequence[Track]) -> float:
    """PICP: how often the true day lies within the interval, each cell counting the same."""
    return float(np.mean([_held(track).mean() for track in found if track.asked.size]))


def _held(track: Track) -> npt.NDArray[np.bool_]:
    return (track.early <= track.remaining) & (track.remaining <= track.late)


def mean_width(found: Sequence[Track]) -> float:
    """Mean width of the intervals, days; one that is open counts up to the horizon of a forecast, a year."""
    return float(
        np.mean(
            [
                (np.minimum(track.late, _HORIZON_DAYS) - np.minimum(track.early, _HORIZON_DAYS)).mean()
                for track in found
                if track.asked.size
            ]
        )
    )


def rul_rmse(found: Sequence[Track]) -> float:
    """Root of the mean square error of the median date, days; a median beyond what is computed counts as its end."""
    errors = [np.minimum(t.median, AHEAD_DAYS[-1]) - t.remaining for t in found if t.asked.size]
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def alpha_lambda(found: Sequence[Track], share: float) -> float:
    """How often the median is within 20 % of the remaining life, after this share of the last 200 days."""
    hits = []
    for track in found:
        if track.asked.size:
            index = int(np.argmin(np.abs(track.remaining - WINDOW_DAYS * (1 - share))))
            left = track.remaining[index]
            hits.append(abs(track.median[index] - left) <= _ALPHA_LAMBDA * left)
    return float(np.mean(hits))


def prognostic_horizon(found: Sequence[Track]) -> float:
    """Median over cells: days before the crossing from which the median date stays within 5 % of the whole life."""
    horizons = []
    for track in found:
        if track.asked.size:
            wrong = np.flatnonzero(np.abs(track.median - track.remaining) > _ALPHA_HORIZON * track.crossing)
            from_index = int(wrong[-1]) + 1 if wrong.size else 0
            horizons.append(float(track.remaining[from_index]) if from_index < track.asked.size else 0.0)
    return float(np.median(horizons))


def weighted_quantile(values: Floats, weights: Floats, share: float) -> float:
    """The least value which at least this share of the weight does not exceed."""
    order = np.argsort(values)
    heights = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(heights, share * heights[-1])])
