"""What the parts of ``make bench-health`` share: a row of its table, who judges what, and the look of the plots.

A part is a module ``measure_<part>`` with ``rows() -> list[HealthRow]``. It may fit only on what
``splits.yaml`` names; what is not named there is judged, and so is every recording added later.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Final, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import yaml
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.bench_row import ROOT, SHARED

Kind = Literal["recorded", "semi-synthetic", "simulated"]
Split = Literal["fit", "judged"]
Floats = npt.NDArray[np.float64]

DATA: Final = Path(os.environ.get("WEARCAST_BENCH_DATA", SHARED))
PLOTS: Final = Path(os.environ.get("WEARCAST_BENCH_PLOTS", ROOT / "build" / "health"))
_SPLITS: Final[dict[str, list[str]]] = yaml.safe_load((Path(__file__).parent / "splits.yaml").read_text())


@dataclass(frozen=True)
class HealthRow:
    """One figure. ``low`` and ``high`` bound the goal, None: no bound there. ``baseline``: the plain method's."""

    quantity: str  # telemetry.records.Quantity, or "trouble_code"
    data: str  # of which recording or simulation
    kind: Kind
    split: Split
    metric: str
    unit: str
    value: float
    _: KW_ONLY
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    baseline_name: str = ""

    @property
    def name(self) -> str:
        """The row's name in the table of results."""
        return f"{self.quantity} | {self.data} ({self.kind}) | {self.split} | {self.metric}"

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.low is None and self.high is None:
            return None
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)


def split_of(group: str, name: str) -> Split:
    """On which side a cell, trip or car of a group stands; a name the list does not know is judged."""
    return "fit" if name in _SPLITS[group] else "judged"


def seed_of(*names: object) -> int:
    """A seed that belongs to these names and no others: the same noise in each run and on each machine."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8], "big")


def figure(columns: int = 1, rows: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """An empty figure of the common look; the axes in reading order."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "wearcast", "svg.fonttype": "path", "font.size": 9, "axes.grid": True})
    mpl.rcParams.update({"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False})
    made, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 3.2 * rows), squeeze=False, layout="constrained")
    return made, list(axes.flat)


def save(made: Figure, name: str) -> Path:
    """Write it to the folder of plots as ``<name>.svg``, the same bytes for the same content."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    path = PLOTS / f"{name}.svg"
    made.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(made)
    return path


def draw_estimate(axes: Axes, x: Floats, value: Floats, low: Floats, high: Floats, truth: Floats | None = None) -> None:
    """An estimate with its 90 % interval against the truth."""
    axes.fill_between(x, low, high, alpha=0.25, linewidth=0, label="90 % interval")
    axes.plot(x, value, label="estimate")
    if truth is not None:
        axes.plot(x, truth, color="black", linewidth=1, label="truth")


def draw_reliability(axes: Axes, nominal: Floats, observed: Floats, label: str) -> None:
    """How often the truth lies within intervals of each nominal width: on the diagonal where they are honest."""
    axes.plot([0, 1], [0, 1], color="black", linewidth=1)
    axes.plot(nominal, observed, marker="o", markersize=3, label=label)
    axes.set_xlabel("nominal coverage")
    axes.set_ylabel("observed coverage")
