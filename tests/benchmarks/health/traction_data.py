"""The recordings that the traction battery's benchmark reads: cells, charge windows, published estimates.

Other files of the same layout, with other names and counts, do as well.
"""

import csv
import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tests.benchmarks.health.table import DATA, Floats, Split, split_of

_LEAST_WINDOW: Final = 10.0  # SOC points: shorter charges tell nothing to anyone


@dataclass(frozen=True)
class Cell:
    """A recorded fade. ``capacity``: share of nominal, per cycle; cycles are ``days_per_cycle`` apart."""

    name: str
    capacity: Floats
    days_per_cycle: float = 1.0


@dataclass(frozen=True)
class Discharge:
    """A recorded discharge from full: seconds, current (A, negative), voltage (V), and the charge it gave (Ah)."""

    cycle: int
    seconds: Floats
    current: Floats
    voltage: Floats
    given_ah: Floats  # up to each row
    capacity_ah: float


def cells(split: Split) -> dict[str, list[Cell]]:
    """Cells of one side by the set they come from. Nominal is the best first capacity of the set."""
    with np.load(DATA / "battery_cells" / "capacity_fade_mit_hust.npz") as stored:
        fades = {name: np.asarray(stored[name], dtype=np.float64) for name in sorted(stored)}
    nominal: dict[str, float] = defaultdict(float)
    for name, fade in fades.items():
        group = name.split("/")[0]
        nominal[group] = max(nominal[group], float(fade[0]))
    found: dict[str, list[Cell]] = defaultdict(list)
    for name, fade in fades.items():
        group = name.split("/")[0]
        if split_of("cells", name) == split:
            found[group].append(Cell(name, fade / nominal[group]))
    return dict(found)


def charge_windows(split: Split) -> Floats:
    """Start and end SOC (percent) of charges by cars in daily use: the first half is for fitting."""
    with gzip.open(DATA / "ev_field" / "charge_windows.csv.gz", "rt", encoding="utf-8-sig") as lines:
        rows = np.array([[float(row[-2]), float(row[-1])] for row in list(csv.reader(lines))[1:]])
    half = len(rows) // 2
    chosen = rows[:half] if split == "fit" else rows[half:]
    return np.asarray(chosen[chosen[:, 1] - chosen[:, 0] >= _LEAST_WINDOW])


def nasa_cells(split: Split) -> dict[str, list[Discharge]]:
    """Recorded discharges of the cells of one side."""
    paths = sorted((DATA / "battery_cells").glob("nasa_*.csv.gz"))
    stems = {path: path.name.removesuffix(".csv.gz") for path in paths}
    return {stem: _discharges(path) for path, stem in stems.items() if split_of("nasa", stem) == split}


def _discharges(path: Path) -> list[Discharge]:
    rows: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            numbers = (float(row["Time"]), float(row["Current_measured"]), float(row["Voltage_measured"]))
            rows[int(row["cycle_idx"])].append(numbers)
    found = []
    for cycle, of_cycle in sorted(rows.items()):
        seconds, current, voltage = np.array(of_cycle).T
        end = int(np.argmin(voltage)) + 1  # then the load is off and the voltage recovers
        seconds, current, voltage = seconds[:end], current[:end], voltage[:end]
        steps = np.diff(seconds) / 3600 * (current[1:] + current[:-1]) / 2
        given = np.concatenate([[0.0], -np.cumsum(steps)])
        found.append(Discharge(cycle, seconds, current, voltage, given, float(given[-1])))
    return found


def published_errors() -> tuple[float, float] | None:
    """Mean absolute and root mean square error (points) of the estimates published with the fleet's labels."""
    path = DATA / "ev_field" / "soh_labels_and_published_estimates.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8-sig") as lines:
        rows = list(csv.reader(lines))[1:]
    errors = np.array([100 * (float(row[2]) - float(row[1])) for row in rows])
    return float(np.abs(errors).mean()), float(np.sqrt((errors**2).mean()))
