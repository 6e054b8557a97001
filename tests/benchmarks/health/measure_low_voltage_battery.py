"""12 V battery: starts found on recorded trips; what the estimate does with simulated batteries, for consistency only.

No recording here has a battery whose strength is known: no accuracy is claimed on real cars. What counts as a start of
a recorded trip is told by a column the estimator does not read: the ECU's own time since the engine was started.
"""

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from health import signals
from health.low_voltage_battery import LowVoltageBattery
from health.starter_battery.cranking import Start
from telemetry.records import Estimate, EventKind, Quantity, Sample
from tests.benchmarks.health.sim_low_voltage_battery import Morning, mornings
from tests.benchmarks.health.table import (
    DATA,
    PLOTS,
    HealthRow,
    Split,
    draw_estimate,
    figure,
    save,
    split_of,
)

_row = partial(HealthRow, Quantity.LOW_VOLTAGE_BATTERY_HEALTH)
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PERIODS_S: Final = (0.5, 1.0, 5.0, 10.0)  # 0.5: as recorded
_SAME_S: Final = 15.0  # between a start and its being found
_CARS: Final = 8
_DAYS: Final = 900
_LEARN_DAYS: Final = 60
_NAMES: Final = {"fit": 0, "judged": 1000}


@dataclass(frozen=True, kw_only=True)
class _Trip:
    name: str
    seconds: list[float]
    run_s: list[float]  # the ECU's time since the start of the engine
    speed_rpm: list[float]
    volts: list[float]

    @property
    def starts(self) -> list[float]:
        """When (s) the ECU's time began to run."""
        times = zip(self.seconds[1:], self.run_s, self.run_s[1:], strict=False)
        return [at for at, before, now in times if before <= 0 < now or now < before]

    def samples(self, day: int, period_s: float) -> list[Sample]:
        """Thinned to that period."""
        found: list[Sample] = []
        due = 0.0
        for at, rpm, volts in zip(self.seconds, self.speed_rpm, self.volts, strict=True):
            if at >= due - 0.05:
                due = max(due + period_s, at)
                values = {signals.ENGINE_SPEED.path: rpm, signals.CONTROL_MODULE_VOLTAGE.path: volts}
                time = _START + timedelta(days=day, seconds=at)
                found.append(Sample(time=time, monotonic_ms=0, values=values))
        return found


def _trip(path: Path) -> _Trip:
    """At its mean rate: the recorded time counts whole seconds and stands while the engine does."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    run_s = [float(row["ENGINE_RUN_TINE ()"]) for row in rows]
    period_s = (run_s[-1] - run_s[0]) / len(rows) if run_s[-1] > run_s[0] else 0.5
    return _Trip(
        name=path.name.removesuffix(".csv.gz"),
        seconds=[index * period_s for index in range(len(rows))],
        run_s=run_s,
        speed_rpm=[float(row["ENGINE_RPM ()"]) for row in rows],
        volts=[float(row["CONTROL_MODULE_VOLTAGE ()"]) for row in rows],
    )


@dataclass(frozen=True, kw_only=True)
class _Found:
    trip: _Trip
    starts: list[Start]
    charging_v: float | None

    @property
    def at_s(self) -> list[float]:
        return [(start.time - _START).total_seconds() % 86_400 for start in self.starts]

    @property
    def missed(self) -> int:
        return sum(not any(abs(at - found) <= _SAME_S for found in self.at_s) for at in self.trip.starts)

    @property
    def false(self) -> int:
        return sum(not any(abs(at - found) <= _SAME_S for at in self.trip.starts) for found in self.at_s)


def _found(trips: list[_Trip], period_s: float) -> list[_Found]:
    """All trips a day apart through one estimator, as a dongle would see them."""
    battery = LowVoltageBattery()
    found = []
    for day, trip in enumerate(trips):
        starts: list[Start] = []
        for sample in trip.samples(day, period_s):
            before = battery.starts
            battery.update(sample)
            if battery.starts > before and battery.last_start is not None:
                starts.append(battery.last_start)
        found.append(_Found(trip=trip, starts=starts, charging_v=battery.charging_voltage_v))
    return found


def _crossings(trip: _Trip) -> int:
    """The plain method: engine speed rises above 500 rpm."""
    return sum(a < 500 <= b for a, b in zip(trip.speed_rpm, trip.speed_rpm[1:], strict=False))


def _recorded() -> list[HealthRow]:
    trips = [_trip(path) for path in sorted((DATA / "obd_trips").glob("*.csv.gz"))]
    rows: list[HealthRow] = []
    for period_s in _PERIODS_S:
        found = _found(trips, period_s)
        if period_s == _PERIODS_S[0]:
            _write_starts(found)
        for split in ("fit", "judged"):
            side = [entry for entry in found if split_of("trips", entry.trip.name) == split]
            if side:
                rows += _trip_rows(side, period_s, "fit" if split == "fit" else "judged")
    return rows


def _trip_rows(side: list[_Found], period_s: float, split: Split) -> list[HealthRow]:
    present = sum(len(entry.trip.starts) for entry in side)
    data = f"{len(side)} trips, {present} starts, " + ("as recorded" if period_s == 0.5 else f"every {period_s:g} s")
    caught = 100 * (1 - sum(entry.missed for entry in side) / present)
    extra = sum(max(0, _crossings(entry.trip) - len(entry.trip.starts)) for entry in side)
    rows = [
        _row(data, "recorded", split, "starts found", "%", caught, low=95.0),
        _row(
            *(data, "recorded", split, "false starts", ""),
            sum(entry.false for entry in side),
            high=0.0,
            baseline=float(extra),
            baseline_name="engine speed rising above 500 rpm, as recorded",
        ),
    ]
    starts = [start for entry in side for start in entry.starts]
    if period_s == _PERIODS_S[0] and starts:
        seen = [start for start in starts if start.lowest_v is not None]
        share, measured = 100 * len(seen) / len(starts), sum(start.cranking_v is not None for start in starts)
        rows.append(_row(data, "recorded", split, "starts with a fall of 0.5 V or more seen", "%", share))
        rows.append(_row(data, "recorded", split, "starts whose dip was measured", "%", 100 * measured / len(starts)))
        lowest = [start.lowest_v for start in seen if start.lowest_v is not None]
        if lowest:
            rows.append(_row(data, "recorded", split, "lowest voltage seen (upper bound)", "V", min(lowest)))
    return rows


def _write_starts(found: list[_Found]) -> None:
    PLOTS.mkdir(parents=True, exist_ok=True)
    with (PLOTS / "low_voltage_battery_starts.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trip", "present", "found", "at s", "before V", "lowest seen V (upper bound)", "charging V"])
        for entry in found:
            for at_s, start in zip(entry.at_s, entry.starts, strict=True):
                seen = [f"{at_s:.1f}", _volts(start.before_v), _volts(start.lowest_v), _volts(entry.charging_v)]
                table.writerow([entry.trip.name, len(entry.trip.starts), len(entry.starts), *seen])


def _volts(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass(frozen=True, kw_only=True)
class _Life:
    """Estimates of a simulated car every tenth day, with the truth; and what was suspected."""

    points: list[tuple[Morning, Estimate]]
    replaced: list[int]
    suspected: list[int]


def _live(seed: int, *, burst: bool, known_new: bool = False) -> _Life:
    battery = LowVoltageBattery()
    points: list[tuple[Morning, Estimate]] = []
    replaced: list[int] = []
    suspected: list[int] = []
    for morning in mornings(seed, _DAYS, burst=burst, known_new=known_new):
        if morning.day == 0 and known_new:
            battery.reset(morning.samples[0].time - timedelta(days=1), "battery replaced")
        for sample in morning.samples:
            battery.update(sample)
        if morning.replaced:
            replaced.append(morning.day)
        suspected += [morning.day for event in battery.findings() if event.kind is EventKind.SERVICE_SUSPECTED]
        if morning.day >= _LEARN_DAYS and morning.day % 10 == 0:
            points += [(morning, estimate) for estimate in battery.estimates(morning.samples[-1].time)]
    return _Life(points=points, replaced=replaced, suspected=suspected)


def _error(lives: list[_Life]) -> float:
    errors = [estimate.value - morning.health for life in lives for morning, estimate in life.points]
    return float(np.mean(np.abs(errors)))


def _covered(lives: list[_Life]) -> float:
    inside = [estimate.low <= morning.health <= estimate.high for life in lives for morning, estimate in life.points]
    return 100 * float(np.mean(inside))


def _lives(split: Split) -> list[HealthRow]:
    seeds = [index + _NAMES[split] for index in range(_CARS)]
    rest = [_live(seed, burst=False) for seed in seeds]
    seen = [_live(seed, burst=True) for seed in seeds]
    told = [_live(seed, burst=True, known_new=True) for seed in seeds]
    rows: list[HealthRow] = []
    for name, lives in (("rest only", rest), ("cranking at 50 Hz", seen), ("cranking, new when fitted", told)):
        baseline = None if lives is rest else _error(rest)
        rows.append(
            _row(
                *(name, "simulated", split, "mean absolute error against the simulator's own health", "points"),
                _error(lives),
                baseline=baseline,
                baseline_name="" if baseline is None else "rest only",
            )
        )
        rows.append(_row(name, "simulated", split, "share within the 90 % interval", "%", _covered(lives), low=85.0))
        width = median(estimate.high - estimate.low for life in lives for _, estimate in life.points)
        rows.append(_row(name, "simulated", split, "median width of the interval", "points", width))
        rows += _suspicions(name, split, lives)
    if split == "judged":
        _plot(told[0], rest[0])
    return rows


def _suspicions(name: str, split: Split, lives: list[_Life]) -> list[HealthRow]:
    noticed = total = false = 0
    for life in lives:
        total += len(life.replaced)
        noticed += sum(any(0 <= day - at <= 10 for day in life.suspected) for at in life.replaced)
        false += sum(not any(0 <= day - at <= 10 for at in life.replaced) for day in life.suspected)
    per = 100 / (len(lives) * _DAYS / 365)
    rows = [_row(name, "simulated", split, "false suspicions per 100 vehicle-years", "", false * per, high=10.0)]
    if total:
        metric = f"replacements noticed within 10 days, of {total}"
        rows.append(_row(name, "simulated", split, metric, "%", 100 * noticed / total))
    return rows


def _plot(seen: _Life, rest: _Life) -> None:
    made, axes = figure(columns=2)
    for panel, life, title in zip(axes, (seen, rest), ("cranking seen", "rest only"), strict=True):
        x = np.array([float(morning.day) for morning, _ in life.points])
        value, low, high = (
            np.array([getattr(estimate, field) for _, estimate in life.points]) for field in ("value", "low", "high")
        )
        draw_estimate(panel, x, value, low, high, np.array([morning.health for morning, _ in life.points]))
        panel.set_xlabel("day")
        panel.set_title(f"{title} (simulated)")
    axes[0].set_ylabel("health, %")
    axes[0].legend()
    save(made, "low_voltage_battery")


def rows() -> list[HealthRow]:
    """Starts on recorded trips; consistency on simulated batteries."""
    return [*_recorded(), *_lives("fit"), *_lives("judged")]
