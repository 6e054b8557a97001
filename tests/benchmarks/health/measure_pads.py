"""Pad wear on simulated cars whose wear follows another law than ours, on recorded and on made drives.

Judged: R2 of the wear after one visit to a workshop, for gauges of two kinds; whether the 90 % interval holds the truth
before and after it; the distance that is left. The plain method is wear in proportion to distance, calibrated by the
same readings. The published figure beside it is R2 = 0.97 of a line fitted to all of 18 measurements of one car (Jensen
and Santos, DINAME 2023). On the recordings alone: how much friction energy is still seen at slow sampling,
against half a second.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tests.benchmarks.health.fit_pads import STEPS_S, share_seen
from tests.benchmarks.health.pads_fleet import (
    CASES,
    Case,
    Point,
    changes_ways,
    determination,
    drive_fleet,
    is_electric,
)
from tests.benchmarks.health.sim_braking import Trip, recorded_trips
from tests.benchmarks.health.table import DATA, HealthRow, Kind, Split, draw_estimate, figure, save, split_of

_GOAL: Final = 0.95
_NAMES: Final[dict[Case, str]] = {
    "1 Hz": "1 Hz, gauge 0.3 mm read to halves",
    "0.5 Hz": "0.5 Hz, gauge 0.3 mm read to halves",
    "0.1 Hz": "0.1 Hz, gauge 0.3 mm read to halves",
    "start unknown": "1 Hz, start unknown, gauge 0.3 mm read to halves",
    "fine gauge": "1 Hz, gauge 0.1 mm",
    "one wheel": "1 Hz, gauge 0.3 mm read to halves, one wheel of each axle",
}
_BY_DISTANCE: Final = "by distance, same readings"
_COVERAGE: Final = (85.0, 95.0)


def rows() -> list[HealthRow]:
    """Recorded drives on either side, made drives as judged."""
    trips = recorded_trips(DATA / "obd_trips")
    sides: dict[Split, list[Trip]] = {"fit": [], "judged": []}
    for trip in trips:
        sides[split_of("trips", trip.name)].append(trip)
    found = [_slow(side, chosen) for side, chosen in sides.items() if chosen]
    quick: tuple[Case, ...] = ("1 Hz", "fine gauge")
    if sides["fit"]:
        found += _fleet(drive_fleet(6, sides["fit"], label="fit", cases=quick), "semi-synthetic", "fit", quick)
    if sides["judged"]:
        points = drive_fleet(14, sides["judged"], label="judged")
        found += _fleet(points, "semi-synthetic", "judged", CASES)
        _plot(points)
    made = drive_fleet(16, None, label="made", cases=quick)
    found += _fleet(made, "simulated", "judged", quick)
    return found


def _slow(side: Split, trips: Sequence[Trip]) -> HealthRow:
    errors = [100 * abs(share - 1) for step_s in STEPS_S[1:] if step_s == 10.0 for share in share_seen(trips, step_s)]
    return HealthRow(
        quantity="pad_wear",
        data=f"{len(trips)} recorded trips",
        kind="recorded",
        split=side,
        metric="friction energy of a trip at 0.1 Hz, median error against 2 Hz",
        unit="%",
        value=statistics.median(errors),
    )


def _fleet(points: Sequence[Point], kind: Kind, side: Split, cases: Sequence[Case]) -> list[HealthRow]:
    cars = len({point.car for point in points})
    data = f"{cars} cars on {'made' if kind == 'simulated' else 'recorded'} drives"
    found: list[HealthRow] = []

    def row(
        metric: str,
        unit: str,
        value: float,
        *,
        low: float | None = None,
        high: float | None = None,
        baseline: float | None = None,
        baseline_name: str = "",
    ) -> None:
        found.append(
            HealthRow(
                quantity="pad_wear",
                data=data,
                kind=kind,
                split=side,
                metric=metric,
                unit=unit,
                value=value,
                low=low,
                high=high,
                baseline=baseline,
                baseline_name=baseline_name,
            )
        )

    before = [point for point in points if point.visits == 0]
    once = [point for point in points if point.visits > 0 and point.plain is not None]
    row(
        "90 % interval before any measurement holds the truth",
        "% of moments",
        100 * _covered(before, "1 Hz"),
        low=_COVERAGE[0],
        high=_COVERAGE[1],
    )
    for case in cases:
        seen = [point for point in once if case in point.said]
        if case == "start unknown":
            first = [point for point in seen if point.visits == 1]
            row(f"R2 between first and second visit, {_NAMES[case]}", "", _r2(first, _ours(case)))
            seen = [point for point in seen if point.visits > 1]
        if not seen:
            continue
        visits = "two visits" if case == "start unknown" else "one visit"
        row(
            f"R2 after {visits}, {_NAMES[case]}",
            "",
            _r2(seen, _ours(case)),
            low=_GOAL,
            baseline=_r2(seen, _plain_fine if case == "fine gauge" else _plain),
            baseline_name=_BY_DISTANCE,
        )
        row(f"90 % interval after {visits} holds the truth, {_NAMES[case]}", "% of moments", 100 * _covered(seen, case))
    for gauge, name in enumerate((_NAMES["1 Hz"], _NAMES["fine gauge"])):
        limit = _r2(once, lambda point, gauge=gauge: min(100.0, point.perfect[gauge] if point.perfect else 0.0))  # type: ignore[misc]
        row(f"R2 of the true course of wear scaled by the same readings: what the gauge leaves, {name}", "", limit)
    for group, chosen in (
        ("electric cars", [point for point in once if is_electric(point.car)]),
        ("cars whose ways changed", [point for point in once if changes_ways(point.car)]),
    ):
        count = len({point.car for point in chosen})
        share = 100 * _covered(chosen, "1 Hz")
        row(f"90 % interval after one visit holds the truth, {count} {group} alone, 1 Hz", "% of moments", share)
    row(
        "mean absolute error after one visit, 1 Hz",
        "points",
        _error(once, _ours("1 Hz")),
        baseline=_error(once, _plain),
    )
    left = [point for point in once if point.truly_left_km and point.left_km is not None]
    if left:
        inside = [low <= (point.truly_left_km or 0) <= high for point in left for low, _, high in [_left(point)]]
        missed = [abs(_left(point)[1] - (point.truly_left_km or 0)) for point in left]
        row(
            "remaining distance after one visit, 90 % interval holds the truth",
            "% of moments",
            100 * np.mean(inside).item(),
        )
        share = 100 * statistics.fmean(missed) / statistics.fmean(point.truly_left_km or 0 for point in left)
        row("remaining distance after one visit, mean error of the mean distance", "%", share)
    return found


def _left(point: Point) -> tuple[float, float, float]:
    return point.left_km or (0.0, 0.0, 0.0)


def _ours(case: Case) -> Callable[[Point], float]:
    return lambda point: point.said[case].value


def _plain(point: Point) -> float:
    return min(100.0, 0.0 if point.plain is None else point.plain[0])


def _plain_fine(point: Point) -> float:
    return min(100.0, 0.0 if point.plain is None else point.plain[1])


def _r2(points: Sequence[Point], said: Callable[[Point], float]) -> float:
    return determination([min(100.0, point.truth) for point in points], [said(point) for point in points])


def _error(points: Sequence[Point], said: Callable[[Point], float]) -> float:
    return statistics.fmean(abs(said(point) - min(100.0, point.truth)) for point in points)


def _covered(points: Sequence[Point], case: Case) -> float:
    inside = [one.low <= min(100.0, point.truth) <= one.high for point in points for one in [point.said[case]]]
    return sum(inside) / len(inside)


def _plot(points: Sequence[Point]) -> None:
    made, axes = figure(columns=2)
    car = points[0].car
    one = [point for point in points if point.car == car and point.axle == 0]
    said = [point.said["1 Hz"] for point in one]
    draw_estimate(
        axes[0],
        np.array([point.km for point in one]),
        np.array([estimate.value for estimate in said]),
        np.array([estimate.low for estimate in said]),
        np.array([estimate.high for estimate in said]),
        np.array([point.truth for point in one]),
    )
    axes[0].set_xlabel("km of the simulation")
    axes[0].set_ylabel("front pad, % worn")
    axes[0].set_title("one car, measured once")
    axes[0].legend(loc="upper left")
    after = [point for point in points if point.visits > 0 and point.plain is not None][::2]
    truth = np.array([point.truth for point in after])
    axes[1].plot([0, 100], [0, 100], color="black", linewidth=1)
    axes[1].scatter(truth, [_plain(point) for point in after], s=6, alpha=0.5, label="by distance")
    axes[1].scatter(truth, [_ours("1 Hz")(point) for point in after], s=6, alpha=0.7, label="by friction energy")
    axes[1].set_xlabel("true wear, %")
    axes[1].set_ylabel("estimate after one visit, %")
    axes[1].legend(loc="upper left")
    save(made, "pads")
