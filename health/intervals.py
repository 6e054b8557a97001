"""Building estimates: percent stays within its range, and the value within its interval.

Z90 is the half width of a normal distribution's 90 % interval in standard deviations.
"""

from datetime import datetime
from itertools import pairwise
from typing import Final

from telemetry.catalogue import Signal
from telemetry.records import Estimate, Quantity, Source

Z90: Final = 1.6449


def percent_estimate(
    *,
    time: datetime,
    quantity: Quantity,
    value: float,
    low: float,
    high: float,
    method: str,
    source: Source = "estimated",
    position: str = "",
    measurements: int | None = None,
    limited_by: str = "",
    most: float = 100.0,
) -> Estimate:
    """Estimate of a percent quantity, each number clipped to 0..most and the interval opened to hold the value."""
    clipped = min(most, max(0.0, value))
    return Estimate(
        time=time,
        quantity=quantity,
        position=position,
        value=clipped,
        low=min(max(0.0, low), clipped),
        high=max(min(most, high), clipped),
        source=source,
        method=method,
        measurements=measurements,
        limited_by=limited_by,
    )


def ecu_estimate(*, time: datetime, quantity: Quantity, signal: Signal, value: float, position: str = "") -> Estimate:
    """What the car itself says, passed through under its own label.

    The interval is half a step of the signal's usual resolution: the ECU does not tell its own error.
    A percent above 100 (a new battery's SOH) is given as 100.
    """
    half_step = float(signal.resolutions[0]) / 2
    return percent_estimate(
        time=time,
        quantity=quantity,
        position=position,
        value=value,
        low=value - half_step,
        high=value + half_step,
        source="ecu",
        method="ecu",
    )


def interpolate(table: tuple[tuple[float, float], ...], x: float) -> float:
    """Straight lines between the points of a table with rising x; constant outside it."""
    if x <= table[0][0]:
        return table[0][1]
    for (x0, y0), (x1, y1) in pairwise(table):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return table[-1][1]
