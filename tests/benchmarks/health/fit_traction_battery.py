"""Choose what capacity_filter starts from, on the cells and charges for fitting, by hand.

The windows of simulated packs (health_traction_pack) are collected once; every candidate then pools the same ones. It
is judged by the mean negative log likelihood of the true capacity from the 20th charge on: that asks for a small error
and for an interval neither too wide nor too narrow. The candidates differ from the stored numbers in one respect each:
one better by more than chance shows where to go on. ``python -m tests.benchmarks.health.fit_traction_battery``
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from health.capacity.charge_observer import ChargeObserver
from health.capacity.filter import Fading, FilterParameters
from health.capacity.parameters import TractionBatteryParameters
from health.capacity.pool import Pool, Window
from health.intervals import Z90
from tests.benchmarks.health.measure_traction_battery import LIVES, RAW, RESTED, VARIANTS, Variant, field_cells
from tests.benchmarks.health.table import Floats, seed_of
from tests.benchmarks.health.traction_data import Cell, cells, charge_windows, nasa_cells
from tests.benchmarks.health.traction_pack import NOMINAL_AH, Played, draw_charges, draw_pack, play, play_discharges

_FROM: Final = 20  # charges
CHOSEN: Final = FilterParameters()
CALM, CELL, FAILING = CHOSEN.fadings


def _bent(fading: Fading, times: float) -> Fading:
    return replace(fading, per_day_walk=times * fading.per_day_walk)


CANDIDATES: Final[dict[str, FilterParameters]] = {
    "as stored": CHOSEN,
    "gauge scale twice as uncertain": replace(CHOSEN, gauge_scale_error=2 * CHOSEN.gauge_scale_error),
    "gauge scale half as uncertain": replace(CHOSEN, gauge_scale_error=CHOSEN.gauge_scale_error / 2),
    "gauge scale 1 % higher": replace(CHOSEN, gauge_scale=CHOSEN.gauge_scale + 0.01),
    "no bias at the low end": replace(CHOSEN, low_bias=0.0),
    "curve scale twice as uncertain": replace(CHOSEN, curve_scale_error=2 * CHOSEN.curve_scale_error),
    "narrow health": replace(CHOSEN, health_error=0.05),
    "calm fading only": replace(CHOSEN, fadings=(CALM,)),
    "a cell's fading only": replace(CHOSEN, fadings=(CELL,)),
    "a failing cell's fading only": replace(CHOSEN, fadings=(FAILING,)),
    "straighter fading": replace(CHOSEN, fadings=tuple(_bent(one, 1 / 3) for one in CHOSEN.fadings)),
    "fading more bent": replace(CHOSEN, fadings=tuple(_bent(one, 3) for one in CHOSEN.fadings)),
    "no failing cell": replace(CHOSEN, fadings=(CALM, CELL)),
}


@dataclass(frozen=True)
class Seen:
    """The windows of one pack's life: after each charge those it gave, and the true capacity as a share."""

    charges: list[tuple[list[Window], float, Played]]


@dataclass(frozen=True)
class Score:
    """Negative log likelihood, RMSE in points, coverage and bias of one candidate on one kind of data."""

    likelihood: float
    rmse: float
    coverage: float
    bias: float


def collected(played: Iterable[Played], parameters: TractionBatteryParameters) -> Seen:
    """Feed one pack's samples to the observer and keep the windows."""
    observer, found = ChargeObserver(), []
    for one in played:
        samples = one.samples
        if parameters.discharges:
            samples = [*samples, replace(samples[-1], time=samples[-1].time.replace(hour=23, minute=59))]
        ended = [part for sample in samples for part in observer.take(sample, NOMINAL_AH, parameters)]
        found.append(([part for part in ended if isinstance(part, Window)], one.truth / 100, one))
    return Seen([(windows, truth, replace(one, samples=one.samples[-1:])) for windows, truth, one in found])


def packs(variant: Variant, chosen: list[Cell], most: int) -> list[Seen]:
    """Each cell as a pack of that variant."""
    windows, found = charge_windows("fit"), []
    for cell in chosen:
        rng = np.random.default_rng(seed_of("fit", cell.name, variant.name))
        pack = draw_pack(rng, voltage=variant.curve, rests=variant.told is not None)
        charges = draw_charges(cell, windows, rng, most=most, whole=variant.whole)
        found.append(collected(play(charges, pack, variant.gauge, rng), variant.parameters))
    return found


def data(count: int, most: int) -> dict[str, list[Seen]]:
    """All kinds of data of the side for fitting, ``count`` packs of each set with up to ``most`` charges."""
    found: dict[str, list[Seen]] = {}
    sets = {**cells("fit"), "linear fade": field_cells("fit")}
    for variant in (RAW, RESTED, *LIVES, *VARIANTS[:1]):
        for group, chosen in sets.items():
            if variant.whole and group == "linear fade":  # all of it as it is
                continue
            spread = chosen[:: max(1, len(chosen) // count)][:count]
            found[f"{group}, {variant.name}"] = packs(variant, spread, most)
    parameters = replace(RAW.parameters, discharges=True)
    for name, discharges in nasa_cells("fit").items():
        rng = np.random.default_rng(seed_of("fit", name))
        found[name] = [collected(play_discharges(discharges, charge_windows("fit"), RAW.gauge, rng), parameters)]
    return found


def followed(seen: Seen, priors: FilterParameters) -> Floats:
    """Truth, inverse capacity and its standard deviation after each charge from the 20th on."""
    pool, found = Pool(), []
    systematic = TractionBatteryParameters().systematic_error
    for windows, truth, one in seen.charges:
        for window in windows:
            pool.take(one.samples[-1].time, window, priors)
        if pool.bank is not None:
            u, variance = pool.bank.mixture()
            found.append((truth, u, (variance + (systematic * u) ** 2) ** 0.5))
    return np.array(found)[_FROM:].reshape(-1, 3)


def score(seen: list[Seen], priors: FilterParameters) -> Score:
    """One candidate on one kind of data."""
    truth, u, sd = np.concatenate([followed(one, priors) for one in seen]).T
    off = (u - 1 / truth) / sd
    error = 100 * (1 / u - truth)
    return Score(
        likelihood=float((np.log(sd) + off**2 / 2).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        coverage=float((np.abs(off) <= Z90).mean()),
        bias=float(error.mean()),
    )


def main() -> None:
    """Print each candidate on each kind of data."""
    kinds = data(16, 44)
    for name, priors in CANDIDATES.items():
        scores = {kind: score(seen, priors) for kind, seen in kinds.items()}
        print(f"{name}: {np.mean([one.likelihood for one in scores.values()]):.3f}")  # noqa: T201 - its output
        for kind, one in scores.items():
            print(f"    {kind:40} {one.likelihood:7.3f} {one.rmse:5.2f} {one.coverage:5.2f} {one.bias:5.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
