"""Where ``REST_ONLY_DOWN`` of health.starter_battery.evidence comes from: simulated batteries to fit on.

``python -m tests.benchmarks.health.fit_low_voltage_battery`` prints by how many points the health of a battery lies
below what its rest voltage says, at most, in 95 of 100 (the lower end of a 90 % interval); rounded up to five points it
is used.
"""

import numpy as np

from health.low_voltage_battery import LowVoltageBattery
from tests.benchmarks.health.sim_low_voltage_battery import mornings

_LEARN_DAYS = 60


def overstated_points(cars: int, days: int = 900) -> float:
    """The 95th percentile over simulated cars of the fit side (seeds from 0)."""
    above = []
    for seed in range(cars):
        battery = LowVoltageBattery()
        for morning in mornings(seed, days, burst=False):
            for sample in morning.samples:
                battery.update(sample)
            if morning.day >= _LEARN_DAYS and morning.day % 10 == 0:
                (estimate,) = battery.estimates(morning.samples[-1].time)
                above.append(estimate.value - morning.health)
    return float(np.quantile(above, 0.95))


if __name__ == "__main__":
    print(f"{overstated_points(40):.1f} points")  # noqa: T201 - this is its output
