"""The forecast's plots: leads of warnings, how honest the dates are, and the fan of some cells."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from health.forecast import AHEAD_DAYS
from health.forecasting.prior import TrendPrior
from tests.benchmarks.health.forecast_cells import Cell
from tests.benchmarks.health.forecast_metrics import Track, tracks, warnings_of
from tests.benchmarks.health.table import draw_reliability, figure, save

_NOMINAL: Final = np.linspace(0.1, 0.9, 9)


def draw_leads(found: Sequence[Track], at: float, before: Sequence[Track], before_at: float) -> None:
    """How long before the crossing the warning came, with the fleet's prior and without."""
    made, (axes,) = figure()
    bins = np.arange(0, 131, 10).tolist()
    for chosen, threshold, label in ((before, before_at, "without fleet"), (found, at, "with fleet")):
        leads = np.minimum(warnings_of(chosen, threshold).leads, 129)
        axes.hist(leads, bins=bins, weights=np.full(leads.size, 100 / max(leads.size, 1)), alpha=0.6, label=label)
    for goal in (30, 90):
        axes.axvline(goal, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("days from warning to crossing (the last bar: 120 and more)")
    axes.set_ylabel("% of crossings")
    axes.legend()
    save(made, "forecast_leads")


def draw_levels(found: Sequence[Track]) -> None:
    """Coverage of the forecast's distribution before its calibration, by data set."""
    made, (axes,) = figure()
    for fleet in sorted({track.fleet for track in found}):
        places = [track.places for track in found if track.fleet == fleet and track.asked.size]
        if places:
            off = 2 * np.abs(np.concatenate(places) - 0.5)
            draw_reliability(axes, _NOMINAL, np.array([float(np.mean(off <= share)) for share in _NOMINAL]), fleet)
    axes.set_title("before calibration")
    axes.legend()
    save(made, "forecast_reliability")


def draw_fans(cells: Sequence[Cell], prior: TrendPrior, limit: float) -> None:
    """Remaining life against truth in the last 200 days, for the middle crossing cell of each data set."""
    fleets = sorted({cell.fleet for cell in cells})
    made, axes = figure(columns=max(len(fleets), 1))
    for fleet, plot in zip(fleets, axes, strict=False):
        crossing = sorted(
            (cell for cell in cells if cell.fleet == fleet and cell.crossing(limit) >= AHEAD_DAYS[-1] / 4),
            key=lambda cell: cell.crossing(limit),
        )
        if not crossing:
            continue
        (track,) = tracks(prior, [crossing[len(crossing) // 2]], seeds=1, limit=limit)
        left, most = -track.remaining, 400.0
        plot.fill_between(
            left, track.early, np.minimum(track.late, most), alpha=0.25, linewidth=0, label="90 % interval"
        )
        plot.plot(left, np.minimum(track.median, most), label="median")
        plot.plot(left, track.remaining, color="black", linewidth=1, label="truth")
        plot.set_ylim(0, most)
        plot.set_title(track.name)
        plot.set_xlabel("days to the crossing")
        plot.set_ylabel("forecast days to the crossing")
        plot.legend()
    save(made, "forecast_fans")
