"""Forecasts of the day a limit is crossed: recorded cells until 85 % of their first capacity, and simulated wear.

The goals stand for the judged half of the cells, over all of them and for each data set alone.
A warning is the first day on which the probability of crossing within 30 days passes the prior's ``warn_probability``
(the rulebook asks for a median date within 90 days besides);
dates are judged once a week in the last 200 days before the crossing, and an interval that is open at its late end
holds all that comes after its begin. The baseline is the same filter without fleet and regimes, with its own best
threshold.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import yaml

from health.forecast import AHEAD_DAYS, foresee
from health.forecasting.prior import PLAIN, TrendPrior, prior_for, read_prior
from tests.benchmarks.health.forecast_cells import Cell, cells
from tests.benchmarks.health.forecast_metrics import (
    Track,
    Warnings,
    alpha_lambda,
    coverage,
    mean_width,
    prognostic_horizon,
    rul_rmse,
    tracks,
    warnings_of,
)
from tests.benchmarks.health.forecast_plots import draw_fans, draw_leads, draw_levels
from tests.benchmarks.health.forecast_wear import WEARS, Wear, ask, live, live_by_season
from tests.benchmarks.health.table import HealthRow, Split, split_of

LIMIT: Final = 85.0  # percent of initial
QUANTITY: Final = "traction_battery_soh"
_SEEDS: Final[dict[Split, int]] = {"fit": 1, "judged": 2}
_BASELINE: Final = "local linear trend without fleet"
_CROSSFIT: Final = Path(__file__).parent / "forecast_crossfit.yaml"
_ALL: Final = "all cells"
_LIVES: Final = 40  # simulated parts of each kind
_DAY_0: Final = datetime(2026, 1, 1, tzinfo=UTC)


def rows() -> list[HealthRow]:
    """All figures of forecasts, and the plots."""
    known = cells()
    lfp, plain = prior_for(QUANTITY, "lfp"), prior_for(QUANTITY, PLAIN)
    sides: dict[Split, list[Cell]] = {"fit": [], "judged": []}
    for cell in known:
        sides[split_of("cells", cell.name)].append(cell)
    found = {side: tracks(lfp, chosen, seeds=_SEEDS[side], limit=LIMIT) for side, chosen in sides.items()}
    before = tracks(plain, sides["judged"], seeds=1, limit=LIMIT)
    draw_leads(found["judged"], lfp.warn_probability, before, plain.warn_probability)
    draw_levels(found["judged"])
    draw_fans(sides["judged"], lfp, LIMIT)
    return [
        *_of_cells(found["judged"], "judged", lfp, before),
        *_of_cells(found["fit"], "fit", lfp, None),
        *_unseen(sides["judged"]),
        *_unknown_chemistry(sides["judged"]),
        *(row for wear in WEARS for by_season in (False, True) for row in _of_wear(wear, by_season=by_season)),
        _cost(lfp),
    ]


def _fleets(found: Sequence[Track]) -> Iterator[tuple[str, list[Track]]]:
    for fleet in sorted({track.fleet for track in found}):
        yield fleet, [track for track in found if track.fleet == fleet]
    yield _ALL, list(found)


def _of_cells(
    found: Sequence[Track], split: Split, prior: TrendPrior, before: Sequence[Track] | None
) -> Iterator[HealthRow]:
    for fleet, chosen in _fleets(found):
        plain = None if before is None else [t for t in before if fleet in {t.fleet, _ALL}]
        row = _Rows(data=fleet, split=split, goals=split == "judged")
        yield from _warning_rows(row, chosen, prior.warn_probability, plain)
        if any(track.crosses for track in chosen):
            yield from _date_rows(row, chosen, plain)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Makes rows of one data set and side; ``goals``: whether they stand for it."""

    data: str
    split: Split
    goals: bool

    def __call__(
        self,
        metric: str,
        unit: str,
        value: float,
        *,
        low: float | None = None,
        high: float | None = None,
        baseline: float | None = None,
    ) -> HealthRow:
        """A row."""
        return HealthRow(
            quantity=QUANTITY,
            data=self.data,
            kind="semi-synthetic",
            split=self.split,
            metric=f"forecast: {metric}",
            unit=unit,
            value=value,
            low=low if self.goals else None,
            high=high if self.goals else None,
            baseline=baseline,
            baseline_name=_BASELINE if baseline is not None else "",
        )


def _warning_rows(row: _Rows, found: Sequence[Track], at: float, plain: Sequence[Track] | None) -> Iterator[HealthRow]:
    now = warnings_of(found, at)
    was = None if plain is None else warnings_of(plain, prior_for(QUANTITY, PLAIN).warn_probability)

    def before(figure: Callable[[Warnings], float]) -> float | None:
        return None if was is None else figure(was)

    if now.crossings:
        yield row("crossings", "", now.crossings)
        yield row("crossings missed", "", now.missed, high=0, baseline=before(lambda one: one.missed))
        in_time = before(lambda one: 100 * one.in_time)
        yield row("lead of at least 30 days", "%", 100 * now.in_time, low=95, baseline=in_time)
        not_early = before(lambda one: 100 * one.not_too_early)
        yield row("warned at most 90 days early", "%", 100 * now.not_too_early, low=90, baseline=not_early)
        for share in (5, 50, 95):
            lead = None if was is None else float(np.percentile(was.leads, share))
            yield row(f"lead, {share} % quantile", "d", float(np.percentile(now.leads, share)), baseline=lead)
    if now.years:
        alarms = before(lambda one: one.false_alarms_per_100_years)
        name = f"false alarms per 100 vehicle-years, of {now.years:.0f}"
        yield row(name, "", now.false_alarms_per_100_years, baseline=alarms)


def _date_rows(row: _Rows, found: Sequence[Track], plain: Sequence[Track] | None) -> Iterator[HealthRow]:
    held = None if plain is None else 100 * coverage(plain)
    yield row("coverage of the 90 % interval (PICP)", "%", 100 * coverage(found), low=85, high=95, baseline=held)
    yield row(
        "mean width of the interval", "d", mean_width(found), baseline=None if plain is None else mean_width(plain)
    )
    yield row("RMSE of the remaining life", "d", rul_rmse(found), baseline=None if plain is None else rul_rmse(plain))
    horizon = None if plain is None else prognostic_horizon(plain)
    yield row("prognostic horizon, 5 % of life", "d", prognostic_horizon(found), baseline=horizon)
    for share in (0.25, 0.5, 0.75):
        hits = None if plain is None else 100 * alpha_lambda(plain, share)
        name = f"alpha-lambda accuracy, 20 %, lambda {share:g}"
        yield row(name, "%", 100 * alpha_lambda(found, share), baseline=hits)


def _unseen(judged: Sequence[Cell]) -> Iterator[HealthRow]:
    """A prior from one data set on the other."""
    for learned, fields in yaml.safe_load(_CROSSFIT.read_text(encoding="utf-8")).items():
        prior = read_prior(f"crossfit.{learned}", fields)
        others = [cell for cell in judged if not cell.name.startswith(learned)]
        found = tracks(prior, others, seeds=1, limit=LIMIT)
        for fleet in sorted({track.fleet for track in found}):
            yield from _few(f"{fleet}, prior from {learned} alone", [t for t in found if t.fleet == fleet], prior)


def _unknown_chemistry(judged: Sequence[Cell]) -> Iterator[HealthRow]:
    prior = prior_for(QUANTITY)
    found = tracks(prior, judged, seeds=1, limit=LIMIT)
    for fleet in sorted({track.fleet for track in found}):
        yield from _few(f"{fleet}, as of unknown chemistry", [t for t in found if t.fleet == fleet], prior)


def _few(data: str, found: Sequence[Track], prior: TrendPrior) -> Iterator[HealthRow]:
    row = _Rows(data=data, split="judged", goals=False)
    now = warnings_of(found, prior.warn_probability)
    if now.crossings:
        yield row("crossings missed", "", now.missed)
        yield row("lead of at least 30 days", "%", 100 * now.in_time)
        yield row("warned at most 90 days early", "%", 100 * now.not_too_early)
        yield row("coverage of the 90 % interval (PICP)", "%", 100 * coverage(found))


def _of_wear(wear: Wear, *, by_season: bool) -> Iterator[HealthRow]:
    """Simulated parts by the public function, with the quantity's own prior."""
    asked = ask(wear, prior_for(wear.quantity), range(_LIVES), live_by_season if by_season else live)
    farthest = float(AHEAD_DAYS[-1])
    widths = [min(float(one.days.late), farthest) - float(one.days.early) for one in asked]
    errors = [abs(min(float(one.days.median), farthest) - one.left) for one in asked]
    pressure = wear.quantity == "tire_pressure"
    for metric, unit, value, low, high in (
        ("coverage of the 90 % interval (PICP)", "%", 100 * float(np.mean([one.held for one in asked])), 85.0, 95.0),
        ("mean width of the interval", "d", float(np.mean(widths)), None, None),
        ("median error of the median date", "d", float(np.median(errors)), None, None),
    ):
        yield HealthRow(
            quantity="tire_pressure_loss" if pressure else wear.quantity,
            data=f"{_LIVES} simulated lives" + (", pressure" if pressure else "") + (", another law" * by_season),
            kind="simulated",
            split="judged",
            metric=f"forecast: {metric}",
            unit=unit,
            value=value,
            low=low,
            high=high,
        )


def _cost(prior: TrendPrior) -> HealthRow:
    """Processor time of one forecast of the longest history the rules look at, with its date."""
    rng = np.random.default_rng(1)
    times = [_DAY_0 + timedelta(days=day) for day in range(400)]
    values = (95 - 0.02 * np.arange(400) + rng.normal(0, 1, 400)).tolist()
    spent = []
    for _ in range(7):
        begun = time.process_time()
        foresight = foresee(times, values, falling=True, now=times[-1], prior=prior)
        if foresight is not None:
            foresight.crossing(LIMIT)
        spent.append(time.process_time() - begun)
    return HealthRow(
        quantity=QUANTITY, data="400 days", kind="simulated", split="judged",
        metric="forecast: processor time of one", unit="ms", value=1000 * float(np.median(spent)),
    )  # fmt: skip
