"""What an engine gives its oil: the penalty of a temperature, the budget, the time cap, and how sure each of it is."""

from dataclasses import dataclass
from typing import Final

from health.checks import require_between, require_positive
from health.intervals import Z90, interpolate
from health.oil.temperature import OilTemperatureModel

# Oil temperature (celsius) -> penalty; the numbers are ours. Below 60: fuel and water stay in the oil. Above 110:
# oxidation, whose rate doubles every 10 to 15 K (Arrhenius).
PENALTY: Final = (
    (-20.0, 2.6),
    (0.0, 2.4),
    (20.0, 2.1),
    (40.0, 1.6),
    (60.0, 1.15),
    (75.0, 1.0),
    (110.0, 1.0),
    (120.0, 1.4),
    (130.0, 2.2),
    (140.0, 3.6),
    (150.0, 6.0),
)
NORMAL_INTERVAL_KM: Final = 12_000.0  # EP 0231055, paragraph 3


@dataclass(frozen=True, kw_only=True)
class OilLifeParameters:
    """Per engine. ``life_at_start``: percent when the first sample was taken, None where nobody knows."""

    budget_revolutions: float = 35e6  # effective revolutions of one filling (tests/benchmarks/health/fit_oil.py)
    time_cap_days: float = 365.0  # EP 0231055, paragraph 3
    contamination: float = 1.0  # factor for soot and dust; 1: none beyond what cold oil has
    life_at_start: float | None = None  # percent
    max_gap_s: float = 120.0  # samples further apart: the engine was off, or nobody looked
    oil_lag_s: float = 240.0  # oil behind coolant
    speed_rise_k: float = 9.7  # of oil per 1,000 rpm
    load_rise_k: float = 20.0  # of oil at full load
    # Standard deviations.
    modelled_error_k: float = 10.0  # of modelled oil temperature (tests/benchmarks/health/fit_oil.py: simulated cars)
    counting_error: float = 0.03  # share of the consumption: steps between samples, sensors
    assumed_error: float = 0.35  # share: neither oil nor coolant known, or an engine speed that cannot be right
    unseen_error: float = 0.35  # share: charged by distance

    def __post_init__(self) -> None:
        require_positive(
            budget_revolutions=self.budget_revolutions,
            time_cap_days=self.time_cap_days,
            contamination=self.contamination,
            max_gap_s=self.max_gap_s,
        )
        require_between(0, 100, life_at_start=self.life_at_start)
        require_between(0, 40, modelled_error_k=self.modelled_error_k)
        require_between(0, 1, counting_error=self.counting_error)
        require_between(0, 1, assumed_error=self.assumed_error, unseen_error=self.unseen_error)
        _ = self.temperature_model

    @property
    def temperature_model(self) -> OilTemperatureModel:
        """How the oil warms where its temperature is not read."""
        return OilTemperatureModel(speed_rise_k=self.speed_rise_k, load_rise_k=self.load_rise_k, lag_s=self.oil_lag_s)


def penalty_errors(temperature_c: float, error_k: float) -> tuple[float, float]:
    """By how much the true penalty may be more and less, as standard deviations; ``error_k``: the temperature's.

    Taken at the ends of the temperature's 90 % interval, as the penalty is bent: at 105 degrees it can hardly be less.
    """
    here = interpolate(PENALTY, temperature_c)
    ends = [interpolate(PENALTY, temperature_c + side * Z90 * error_k) for side in (-1, 1)]
    return max(0.0, max(ends) - here) / Z90, max(0.0, here - min(ends)) / Z90
