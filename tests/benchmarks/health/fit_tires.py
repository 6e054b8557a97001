"""Where two numbers of health.tires come from: how far an hour's mean lies from the line, on simulated cars to fit on.

``python -m tests.benchmarks.health.fit_tires`` prints, for each way of comparing wheels, the root mean square of the
scatter: ``sensor_error_kpa`` is the mean of the ways without the wheels' own temperatures, rounded to half a kPa;
``_REDUCED_SHARE`` the part of it that is left with them, rounded up to a half.
"""

import math
from collections.abc import Mapping

from health import signals
from health.tire.fading_line import FadingLine, add_hour, fit
from health.tire.pressures import Hour, take
from tests.benchmarks.health.sim_tires import TireCar, TireLife

WAYS: Mapping[str, tuple[bool, tuple[str, ...]]] = {
    "against the others": (False, signals.WHEELS),
    "against the others, temperatures read": (True, signals.WHEELS),
    "alone, cold": (False, signals.WHEELS[:2]),
}
_DAYS = 40


def scatter_kpa(way: str, cars: int) -> float:
    """Root mean square over that many cars of the fit side (seeds from 0)."""
    temperatures, wheels = WAYS[way]
    squares = []
    for seed in range(cars):
        running, lines = Hour(), {wheel: FadingLine() for wheel in wheels}
        for sample in TireLife(TireCar(seed=seed, temperatures=temperatures, wheels=wheels), _DAYS).samples():
            ended = take(running, sample).ended
            if ended is None:
                continue
            compared = len(wheels) == len(signals.WHEELS)
            values = ended.means if compared else ended.cold
            level = sum(values.values()) / len(values) if compared else 0.0
            for wheel, value in values.items():
                add_hour(lines[wheel], ended.hour, value - level, memory_days=10)
        fits = [fit(line, prior_sd=1e-6) for line in lines.values()]
        squares += [found.scatter_sd**2 for found in fits if found is not None]
    return math.sqrt(sum(squares) / len(squares))


if __name__ == "__main__":
    for name in WAYS:
        print(f"{name}: {scatter_kpa(name, 40):.2f} kPa")  # noqa: T201 - this is its output
