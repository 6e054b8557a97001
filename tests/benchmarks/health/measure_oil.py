"""Oil life: published intervals, modelled oil temperature and its interval, unseen driving, changes nobody reported.

Truth is the meter with the true oil temperature of simulated cars (see oil_driving, oil_patterns): there is no
recording of oil temperature, nor of an oil analysis. Of the recorded trips only what is plausible can be said; each is
a line of ``oil_trips.csv`` beside the plots.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from statistics import median
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from health import signals
from health.oil_life import OilLife, OilLifeParameters
from telemetry.records import Estimate, EventKind, Sample
from tests.benchmarks.health.oil_driving import Car, samples
from tests.benchmarks.health.oil_patterns import (
    MOTORWAY,
    NORMAL,
    PATTERNS,
    SEVERE,
    START,
    Pattern,
    cars,
    effective,
    trip,
    trips,
    used_up,
)
from tests.benchmarks.health.oil_report import TripReport, report
from tests.benchmarks.health.oil_trips import recorded_trips
from tests.benchmarks.health.table import PLOTS, HealthRow, Split, draw_estimate, figure, save, seed_of, split_of

_CAP_DAYS: Final = OilLifeParameters().time_cap_days
_FIXED_KM: Final = 12_000.0
_SPLITS: Final[tuple[Split, Split]] = ("fit", "judged")
_FILLINGS: Final = 100
_COVERAGE: Final = 85.0  # % of 90 % intervals: one standard deviation of 48 draws below it
_COOLANT: Final = signals.COOLANT_TEMPERATURE.path
_Curve = list[tuple[float, Estimate, Estimate]]  # km; oil temperature modelled, and read


def rows() -> list[HealthRow]:
    """All figures of oil life."""
    found, curves = _intervals()
    found += _sensitivity()
    reports = [(split_of("trips", recorded.name), report(recorded)) for recorded in recorded_trips()]
    for split in _SPLITS:
        found += _temperature(split)
        found += _unseen(split)
        found += _trips(split, [made for side, made in reports if side == split])
        found += _without_coolant(split)
    found += _changes()
    _write([made for _, made in reports])
    _plot(curves, [made for _, made in reports])
    return found


def _row(data: str, metric: str, unit: str, value: float, *, split: Split = "judged", **bounds: object) -> HealthRow:
    kind = "recorded" if data.startswith("recorded") else "simulated"
    values = {"quantity": "oil_life", "data": data, "kind": kind, "split": split, "metric": metric, "unit": unit}
    return HealthRow(**{**values, "value": value, **bounds})  # type: ignore[arg-type]


def _intervals() -> tuple[list[HealthRow], dict[str, _Curve]]:
    found, curves = [], {}
    rise = 0.0
    read: list[tuple[int, Estimate]] = []
    for pattern in PATTERNS:
        steps = trip(Car(), pattern)
        split: Split = "fit" if pattern is NORMAL else "judged"
        for oil_read in (True, False):
            history = used_up(OilLife(OilLifeParameters()), pattern, steps, oil_read=oil_read)
            rise = max(rise, *_rises([estimate for _, estimate in history]))
            data = f"{pattern.name} use, oil temperature {'read' if oil_read else 'modelled'}"
            number = history[-1][0]
            if pattern.goal_km is None:
                days = number * pattern.hours / 24
                found.append(
                    _row(
                        data,
                        "days to 0 %, the time cap",
                        "d",
                        days,
                        split=split,
                        low=0.9 * _CAP_DAYS,
                        high=_CAP_DAYS + 10,
                    )
                )
            else:
                found.append(
                    _row(
                        data,
                        "interval to 0 %",
                        "km",
                        number * pattern.trip_km,
                        split=split,
                        low=0.9 * pattern.goal_km,
                        high=1.1 * pattern.goal_km,
                        baseline=_FIXED_KM,
                        baseline_name="fixed interval",
                    )
                )
            if not oil_read:
                both = zip(history, read, strict=False)
                curves[pattern.name] = [(count * pattern.trip_km, ours, true) for (count, ours), (_, true) in both]
            read = history
    found.append(_row("all patterns", "greatest rise without a report", "points", rise, high=0.0))
    return found, curves


def _rises(estimates: Sequence[Estimate]) -> list[float]:
    return [after.value - before.value for before, after in pairwise(estimates)]


def _sensitivity() -> list[HealthRow]:
    """What the severe interval would be in other hands: the patterns are a choice, and this is what hangs on it."""
    budget = OilLifeParameters().budget_revolutions

    def interval(pattern: Pattern, car: Car | None = None) -> float:
        return budget * pattern.trip_km / effective(trip(car or Car(), pattern))

    others = [
        ("severe use at 0 degrees", interval(replace(SEVERE, air_c=0.0))),
        ("severe use at -20 degrees", interval(replace(SEVERE, air_c=-20.0))),
        ("severe use, trips of 2 km", interval(replace(SEVERE, cycle=SEVERE.cycle[: len(SEVERE.cycle) // 2]))),
        ("severe use, trips of 8 km", interval(replace(SEVERE, cycle=tuple(SEVERE.cycle) * 2))),
        ("normal use, trips of 11 km", interval(replace(NORMAL, cycle=NORMAL.cycle[: len(NORMAL.cycle) // 2]))),
        ("normal use at 0 degrees", interval(replace(NORMAL, air_c=0.0))),
    ]
    ratios = sorted(interval(SEVERE, car) / interval(NORMAL, car) * _FIXED_KM for car in cars("judged"))
    return [
        *(_row(name, "interval by revolutions", "km", value) for name, value in others),
        _row("16 other cars, each with its own budget", "severe interval, least", "km", ratios[0]),
        _row("16 other cars, each with its own budget", "severe interval, median", "km", median(ratios)),
        _row("16 other cars, each with its own budget", "severe interval, greatest", "km", ratios[-1]),
        _row("motorway use", "interval by revolutions alone", "km", interval(MOTORWAY)),
    ]


def _temperature(split: Split) -> list[HealthRow]:
    """Of simulated cars: modelled oil temperature and what is used up by it, against the true one."""
    squares, plain, shares, inside = [], [], [], []
    for car in cars(split):
        for pattern in PATTERNS:
            steps = trip(car, pattern)
            oil = OilLife(OilLifeParameters(life_at_start=100.0, budget_revolutions=1e6, time_cap_days=1e6))
            for index, sample in enumerate(samples(steps, START, air_c=pattern.air_c, every_s=5)):
                oil.update(sample)
                step = steps[5 * index]
                squares.append(((oil.oil_temperature_c or 0.0) - step.oil_c) ** 2)
                plain.append((step.coolant_c - step.oil_c) ** 2)
            estimate = oil.estimates(START)[0]
            truth = 100 - 100 * effective(steps) / 1e6
            shares.append(abs(100 - estimate.value) / (100 - truth) - 1)
            inside.append(estimate.low <= truth <= estimate.high)
    data = f"{len(cars(split))} simulated cars, three patterns"
    by_pattern = np.array(inside).reshape(-1, len(PATTERNS)).mean(axis=0)
    error, baseline = math.sqrt(np.mean(squares)), math.sqrt(np.mean(plain))
    return [
        _row(
            data,
            "RMSE of modelled oil temperature",
            "K",
            error,
            split=split,
            baseline=baseline,
            baseline_name="coolant",
        ),
        _row(data, "mean absolute error of what is used up", "%", 100 * float(np.mean(np.abs(shares))), split=split),
        _row(data, "bias of what is used up", "%", 100 * float(np.mean(shares)), split=split),
        _row(data, "coverage of the 90 % interval", "%", 100 * float(np.mean(inside)), split=split, low=_COVERAGE),
        *(
            _row(data, f"coverage of the 90 % interval, {pattern.name} use", "%", 100 * float(share), split=split)
            for pattern, share in zip(PATTERNS, by_pattern, strict=True)
        ),
    ]


def _without_coolant(split: Split) -> list[HealthRow]:
    """Neither oil nor coolant is read: the warm-up is assumed."""
    inside = []
    for car in cars(split):
        for pattern in PATTERNS:
            steps = trip(car, pattern)
            oil = OilLife(OilLifeParameters(life_at_start=100.0, budget_revolutions=1e6, time_cap_days=1e6))
            for sample in samples(steps, START, air_c=pattern.air_c, every_s=5):
                values = {path: value for path, value in sample.values.items() if path != _COOLANT}
                oil.update(replace(sample, values=values))
            estimate = oil.estimates(START)[0]
            inside.append(estimate.low <= 100 - 100 * effective(steps) / 1e6 <= estimate.high)
    data = f"{len(cars(split))} simulated cars, three patterns, coolant not read"
    coverage = 100 * float(np.mean(inside))
    return [_row(data, "coverage of the 90 % interval", "%", coverage, split=split, low=_COVERAGE)]


def _unseen(split: Split) -> list[HealthRow]:
    """Every third week the dongle lies in a drawer; the odometer tells the distance."""
    errors, ignored, inside = [], [], []
    for number, car in enumerate(cars(split)):
        pattern = PATTERNS[number % 2]
        steps = trip(car, pattern)
        oil = OilLife(OilLifeParameters(life_at_start=100.0, time_cap_days=1e6))
        blind = OilLife(OilLifeParameters(life_at_start=100.0, time_cap_days=1e6))
        odometer_m, count = 5e7, round(63 * 24 / pattern.hours)
        for index, driven in zip(range(count), trips(steps, pattern, oil_read=False, every_s=10), strict=False):
            if (index * pattern.hours // 168) % 3 != 1:
                first = {signals.TRAVELED_DISTANCE.path: odometer_m // 1000 * 1000}
                for sample in driven:
                    oil.update(replace(sample, values={**sample.values, **first}))
                    blind.update(sample)
                    first = {}
                odometer_m += pattern.trip_km * 1000
                last = driven[-1]
                after = {signals.TRAVELED_DISTANCE.path: odometer_m // 1000 * 1000}
                oil.update(Sample(time=last.time, monotonic_ms=0, values=after))
            else:
                odometer_m += pattern.trip_km * 1000
        truth = 100 - 100 * count * effective(steps) / 35e6
        estimate = oil.estimates(driven[-1].time)[0]
        errors.append(abs(estimate.value - truth))
        ignored.append(abs(blind.estimates(driven[-1].time)[0].value - truth))
        inside.append(estimate.low <= truth <= estimate.high)
    data = f"{len(errors)} simulated cars, a third of nine weeks unseen"
    value, baseline = float(np.mean(errors)), float(np.mean(ignored))
    return [
        _row(
            data,
            "mean absolute error",
            "points",
            value,
            split=split,
            baseline=baseline,
            baseline_name="odometer unused",
        ),
        _row(data, "coverage of the 90 % interval", "%", 100 * float(np.mean(inside)), split=split, low=_COVERAGE),
    ]


def _changes() -> list[HealthRow]:
    """Cars that tell an oil life: half of them have it reset once; readings are wrong now and then."""
    random_ = Random(seed_of("oil changes"))
    found = false = 0
    certainties = []
    for number in range(2 * _FILLINGS):
        oil = OilLife(OilLifeParameters())
        reset_at = random_.randrange(60, 290) if number % 2 else None
        level = random_.uniform(40, 100)
        told = 0
        for day in range(300):
            if day == reset_at:
                level = 100.0
            level = max(0.0, level - random_.uniform(0.1, 0.5))
            for hour in (7, 8, 17, 18):
                misread = random_.random() < 0.002
                value = float(random_.randrange(0, 101)) if misread else level
                reading = {signals.ENGINE_SPEED.path: 0.0, signals.OIL_LIFE.path: value}
                oil.update(Sample(time=START + timedelta(days=day, hours=hour), monotonic_ms=0, values=reading))
            for event in oil.findings():
                assert event.kind is EventKind.SERVICE_SUSPECTED
                expected = reset_at is not None and reset_at <= day <= reset_at + 1
                told += expected
                false += not expected
                certainties.append(float(str(event.data["certainty"])))
        found += told == 1
    data = f"{_FILLINGS} cars whose oil life was reset, {_FILLINGS} where it was not, 0.2 % of readings wrong"
    return [
        _row(data, "changes told within a day, once", "%", 100 * found / _FILLINGS, low=95.0),
        _row(data, "told where there was none", "count", float(false), high=0.0),
        _row(data, "certainty, least", "1", min(certainties)),
    ]


def _trips(split: Split, reports: Sequence[TripReport]) -> list[HealthRow]:
    if not reports:
        return []
    data = f"recorded trips ({len(reports)})"
    cold = [made for made in reports if made.cold_start]
    plausible = [made.plausible for made in reports]
    used = 100 * sum(made.life_used_points for made in reports)
    found = [
        _row(
            data, "trips with plausible oil temperature", "%", 100 * float(np.mean(plausible)), split=split, low=100.0
        ),
        _row(data, "oil above coolant when warm, median", "K", median(m.excess_warm_k for m in reports), split=split),
        _row(data, "oil above coolant when warm, greatest", "K", max(m.excess_warm_k for m in reports), split=split),
        _row(data, "cold share of revolutions", "%", _share(reports), split=split),
        _row(data, "revolutions per km", "1/km", _per_km(reports), split=split),
        _row(
            data,
            "interval if always driven so",
            "km",
            100 * 100 * sum(m.distance_km for m in reports) / used,
            split=split,
        ),
    ]
    lags = [made.lag_s for made in cold if made.lag_s is not None]
    if lags:
        found.append(_row(data, "oil reaches 75 degrees after coolant does, median", "s", median(lags), split=split))
    return found


def _share(reports: Sequence[TripReport]) -> float:
    cold = sum(made.revolutions * made.cold_share for made in reports)
    return 100 * cold / sum(made.revolutions for made in reports)


def _per_km(reports: Sequence[TripReport]) -> float:
    return sum(made.revolutions for made in reports) / sum(made.distance_km for made in reports)


def _write(reports: Sequence[TripReport]) -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    with (PLOTS / "oil_trips.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, fieldnames=[field.name for field in fields(TripReport) if field.name != "curve"])
        table.writeheader()
        for made in reports:
            values = {name: value for name, value in asdict(made).items() if name != "curve"}
            table.writerow({name: round(v, 3) if isinstance(v, float) else v for name, v in values.items()})


def _plot(curves: dict[str, _Curve], reports: Sequence[TripReport]) -> None:
    made, (life, cold, recorded) = figure(columns=3)
    for name, history in curves.items():
        thinned = history[:: max(1, len(history) // 60)]
        kilometres = np.array([at for at, _, _ in thinned]) / 1000
        value, low, high = (
            np.array([getattr(ours, key) for _, ours, _ in thinned]) for key in ("value", "low", "high")
        )
        draw_estimate(life, kilometres, value, low, high, truth=np.array([true.value for _, _, true in thinned]))
        life.annotate(name, (kilometres[-1], 2), fontsize=8)
    life.set_xlabel("1,000 km")
    life.set_ylabel("oil life, %")
    steps = trip(Car(), SEVERE)
    oil = OilLife(OilLifeParameters())
    modelled = []
    for sample in samples(steps, START, air_c=SEVERE.air_c, every_s=10):
        oil.update(sample)
        modelled.append(oil.oil_temperature_c or 0.0)
    minutes = np.arange(0, len(steps), 10) / 60
    cold.plot(minutes, [step.coolant_c for step in steps[::10]], label="coolant")
    cold.plot(minutes, [step.oil_c for step in steps[::10]], color="black", linewidth=1, label="oil, truth")
    cold.plot(minutes, modelled, label="oil, modelled")
    cold.set_title("severe use, simulated", fontsize=9)
    if reports:
        _draw_recorded(recorded, min(reports, key=lambda report_: (report_.lag_s is None, report_.curve[0][1])))
    for axes in (cold, recorded):
        axes.set_xlabel("min")
        axes.set_ylabel("celsius")
        if axes.lines:
            axes.legend(fontsize=8)
    save(made, "oil_life")


def _draw_recorded(axes: Axes, coldest: TripReport) -> None:
    minutes = np.array([seconds / 60 for seconds, _, _ in coldest.curve])
    axes.plot(minutes, [coolant for _, coolant, _ in coldest.curve], label="coolant, recorded")
    axes.plot(minutes, [oil_c for _, _, oil_c in coldest.curve], label="oil, modelled")
    axes.set_title(f"recorded trip {coldest.name}", fontsize=9)
