"""What rest, cranking and charging say of a 12 V battery: pure functions, each evidence a health with its error.

Evidence is a pair of percent: health, and its standard deviation.
"""

import math
from typing import Final

from health.intervals import Z90, interpolate
from health.starter_battery.cranking_line import CrankingLine, held_voltage, level_variance_at
from health.starter_battery.rest_voltage import PERCENT_PER_VOLT, REST_VOLTAGE

# Percent, at 90 %: a battery at rest does not tell how it cranks. No data say how much worse it may be; on simulated
# batteries of the fit side (fit_low_voltage_battery) the lower end of 90 % lies 48.7 below.
REST_ONLY_DOWN: Final = 50.0
_AGM_OFFSET_V: Final = 0.15  # denser acid
_FAILS_V: Final = 9.6  # held at 21 celsius: BCI load test
_NEW_V: Final = 11.0  # held at 21 celsius by a new battery, where this car's is not known ...
_NEW_SD_V: Final = 0.4  # ... and by how much cars differ; both are assumptions
_KNOWN_NEW_SD_V: Final = 0.15
_FLOAT_V: Final = 13.5 - 0.3  # at 25 celsius (2.25 V a cell), less what cable and meter may lose
_FLOAT_V_PER_KELVIN: Final = -6 * 3e-3


def rest_sd(days: int, reading_error_v: float) -> float:
    """Standard deviation (percent) of the charge read from the rest voltage smoothed over that many ended days."""
    return reading_error_v * PERCENT_PER_VOLT / math.sqrt(min(days + 1, 5))


def by_rest(level_v: float, days: int, *, agm: bool, reading_error_v: float) -> tuple[float, float]:
    """Of the smoothed rest voltage (V at 25 celsius)."""
    value = interpolate(REST_VOLTAGE, level_v - (_AGM_OFFSET_V if agm else 0.0))
    return value, math.hypot(REST_ONLY_DOWN / Z90, rest_sd(days, reading_error_v))


def by_cranking_line(line: CrankingLine, day: int) -> tuple[float, float] | None:
    """Of the voltage held at 21 celsius, between failing the load test and new; None before the first start.

    ``day``: since 1970-01-01 UTC; the longer no start was seen, the less is known.
    """
    if line.starts == 0:
        return None
    held_v = held_voltage(line.level)
    new_v, new_sd_v = _NEW_V, _NEW_SD_V
    if line.new_level is not None and held_voltage(line.new_level) > _FAILS_V + 3 * _KNOWN_NEW_SD_V:
        new_v, new_sd_v = held_voltage(line.new_level), _KNOWN_NEW_SD_V
    share = (held_v - _FAILS_V) / (new_v - _FAILS_V)
    level_sd_v = held_v - held_voltage(line.level + math.sqrt(level_variance_at(line, day)))
    sd = math.hypot(level_sd_v, share * new_sd_v) / (new_v - _FAILS_V)
    return min(100.0, max(0.0, 100 * share)), max(1.0, 100 * sd)


def charges_weakly(charging_high_v: float | None, temperature: float | None) -> bool:
    """Whether even the upper decile of the charging voltage stays below float at that ambient temperature (celsius)."""
    if charging_high_v is None:
        return False
    kelvin = 0.0 if temperature is None else temperature - 25.0
    return charging_high_v < _FLOAT_V + _FLOAT_V_PER_KELVIN * kelvin


def together(sources: list[tuple[float, float]]) -> tuple[float, float]:
    """Mean by inverse variance and half width of its 90 % interval, wider where the sources disagree (Birge 1932)."""
    weight = sum(sd**-2 for _, sd in sources)
    value = sum(entry / sd**2 for entry, sd in sources) / weight
    scatter = sum(((entry - value) / sd) ** 2 for entry, sd in sources) / max(1, len(sources) - 1)
    return value, Z90 * math.sqrt(max(1.0, scatter) / weight)
