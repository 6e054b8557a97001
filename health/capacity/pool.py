"""The windows of one battery pooled: all of them by capacity_bank, the recent ones by capacity_awtls beside it.

The filters follow fading and clip what does not fit, so by themselves they would take long to believe another battery.
So the innovations of the last windows are summed (they are white while the model holds; each is clipped, as no window
by itself shall prove a change), and when the sum is beyond doubt all starts anew from the weighted total least squares
of just these windows, which has no past.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from health.capacity import bank as capacity_bank
from health.capacity import filter as capacity_filter
from health.capacity.awtls import PooledWindows
from health.capacity.bank import Bank
from health.capacity.filter import FilterParameters, Kind

_REJECTED: Final = 4.0  # standard deviations from which a window is not taken at all
_RECENT: Final = 8  # windows kept
_FEWEST: Final = 3  # of them that can show another battery
_CERTAIN: Final = 4.0  # standard deviations of the sum of their innovations, which are white while nothing changes
_FITS: Final = 2.0  # standard deviations a window may lie off the capacity it is pooled to
_LEAST_CHANGE: Final = 0.08  # of the capacity: less is fading or the weather


@dataclass(frozen=True, kw_only=True)
class Window:
    """One measurement. ``y``: charge, as a share of nominal; ``x``: change of SOC (share), with their errors."""

    kind: Kind
    x: float
    y: float
    sigma_x: float
    sigma_y: float
    low_end: float = 0.0  # change of the gauge's bias shape per charge: capacity_filter.observe

    @property
    def inverse_capacity(self) -> float:
        """Nominal capacities per capacity."""
        return self.x / self.y

    @property
    def variance(self) -> float:
        """Of the inverse capacity."""
        return (self.sigma_x**2 + (self.inverse_capacity * self.sigma_y) ** 2) / self.y**2


@dataclass(frozen=True, kw_only=True)
class Change:
    """Another capacity from now on, shares of nominal, and how many standard deviations apart they are."""

    before: float
    after: float
    deviations: float
    windows: int


class Recent(msgspec.Struct, forbid_unknown_fields=True):
    """A window of late, its x freed of the common errors, and its innovation in standard deviations."""

    x: float
    y: float
    sigma_x: float
    sigma_y: float
    deviation: float  # at most CLIP


class Pool(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of the capacity."""

    bank: Bank | None = None
    recent: list[Recent] = msgspec.field(default_factory=list)
    rejected: int = 0  # windows not believed

    def take(self, time: datetime, window: Window, parameters: FilterParameters) -> Change | None:
        """Take one window in; the change it proves, if any."""
        bank = self.advanced(time, parameters) or capacity_bank.start(time, parameters)
        self.bank, likeliest = bank, bank.likeliest
        kind, z, variance, low_end = window.kind, window.inverse_capacity, window.variance, window.low_end
        error, total = capacity_filter.innovation(likeliest, kind, z, variance, low_end)
        if abs(error) > _REJECTED * math.sqrt(total):
            self.rejected += 1
        else:
            capacity_bank.observe(bank, kind, z, variance, low_end)
        if kind == "voltage":  # shares its charge with another window
            return None
        corrected = window.x - capacity_filter.common_error(likeliest, kind, low_end) * window.y
        sigma_x = window.sigma_x * math.sqrt(likeliest.noise[kind])
        deviation = min(max(error / math.sqrt(total), -capacity_filter.CLIP), capacity_filter.CLIP)
        self.recent.append(Recent(corrected, window.y, sigma_x, window.sigma_y, deviation))
        del self.recent[:-_RECENT]
        return self._change(bank, parameters)

    def advanced(self, time: datetime, parameters: FilterParameters) -> Bank | None:
        """The filters carried to ``time``; this pool stays as it is. None before the first window."""
        return None if self.bank is None else capacity_bank.advanced(self.bank, time, parameters)

    def _change(self, bank: Bank, parameters: FilterParameters) -> Change | None:
        for count in range(_FEWEST, len(self.recent) + 1):
            windows = self.recent[-count:]
            deviations = abs(sum(window.deviation for window in windows)) / math.sqrt(count)
            if deviations < _CERTAIN:
                continue
            known = 1 / bank.mixture()[0]
            found, error = pooled(windows)
            if abs(found - known) > _LEAST_CHANGE * known and _agree(windows, found):
                capacity_bank.restart(bank, 1 / found, error / found**2, parameters)
                self.recent = []
                return Change(before=known, after=found, deviations=deviations, windows=count)
        return None


def _agree(windows: list[Recent], capacity: float) -> bool:
    """Whether each window fits the capacity: one absurd window among good ones is not another battery."""
    return all(
        abs(one.x - one.y / capacity) <= _FITS * math.hypot(one.sigma_x, one.sigma_y / capacity) for one in windows
    )


def started_from(pool: Pool, time: datetime, capacity: float, error: float, parameters: FilterParameters) -> None:
    """Begin anew with a capacity known otherwise; ``capacity`` and ``error`` as shares of nominal."""
    pool.bank = pool.advanced(time, parameters) or capacity_bank.start(time, parameters)
    capacity_bank.restart(pool.bank, 1 / capacity, error / capacity**2, parameters)
    pool.recent = []


def pooled(windows: list[Recent]) -> tuple[float, float]:
    """Capacity as a share of nominal and its standard deviation, by weighted total least squares."""
    sums = PooledWindows(scale=windows[-1].sigma_x / windows[-1].sigma_y)
    for one in windows:
        sums.add(max(one.x, 1e-6), one.y, one.sigma_x, one.sigma_y)
    return sums.capacity()
