"""The windows of one battery pooled: all of them by capacity_filter, the recent ones by capacity_awtls beside it.

The filter follows slow fading and clips what does not fit, so by itself it would take long to believe another battery.
So the innovations of the last windows are summed (they are white while the model holds), and when the sum is beyond
doubt the filter starts anew from the weighted total least squares of just these windows, which has no past.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from health import capacity_filter
from health.capacity_awtls import PooledWindows
from health.capacity_filter import FilterParameters, FilterState, Kind

_DAY_S: Final = 86_400.0
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
    deviation: float


class Pool(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of the capacity."""

    filter: FilterState | None = None
    filtered: datetime | None = None  # to which the filter is carried
    recent: list[Recent] = msgspec.field(default_factory=list)
    rejected: int = 0  # windows not believed

    def take(self, time: datetime, window: Window, parameters: FilterParameters) -> Change | None:
        """Take one window in; the change it proves, if any."""
        state = self.advanced(time, parameters)
        self.filter, self.filtered = state, time
        error, total = capacity_filter.innovation(
            state, window.kind, window.inverse_capacity, window.variance, window.low_end
        )
        if abs(error) > _REJECTED * math.sqrt(total):
            self.rejected += 1
        else:
            capacity_filter.observe(state, window.kind, window.inverse_capacity, window.variance, window.low_end)
        if window.kind == "voltage":  # shares its charge with another window
            return None
        common = capacity_filter.common_error(state, window.kind, window.low_end)
        noise = math.sqrt(state.noise[window.kind])
        corrected = window.x - common * window.y
        deviation = error / math.sqrt(total)
        self.recent.append(Recent(corrected, window.y, window.sigma_x * noise, window.sigma_y, deviation))
        del self.recent[:-_RECENT]
        return self._change(state, parameters)

    def advanced(self, time: datetime, parameters: FilterParameters) -> FilterState:
        """The filter carried to ``time``; this pool stays as it is."""
        if self.filter is None:
            return capacity_filter.start(parameters)
        state = capacity_filter.copy(self.filter)
        if self.filtered is not None:
            capacity_filter.advance(state, (time - self.filtered).total_seconds() / _DAY_S, parameters)
        return state

    def _change(self, state: FilterState, parameters: FilterParameters) -> Change | None:
        for count in range(_FEWEST, len(self.recent) + 1):
            windows = self.recent[-count:]
            deviations = abs(sum(window.deviation for window in windows)) / math.sqrt(count)
            if deviations < _CERTAIN:
                continue
            known = 1 / state.mean[0]
            found, error = pooled(windows)
            if abs(found - known) > _LEAST_CHANGE * known and _agree(windows, found):
                capacity_filter.restart(state, 1 / found, error / found**2, parameters)
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
    state = pool.filter or capacity_filter.start(parameters)
    capacity_filter.restart(state, 1 / capacity, error / capacity**2, parameters)
    pool.filter, pool.filtered, pool.recent = state, time, []


def pooled(windows: list[Recent]) -> tuple[float, float]:
    """Capacity as a share of nominal and its standard deviation, by weighted total least squares."""
    sums = PooledWindows(scale=windows[-1].sigma_x / windows[-1].sigma_y)
    for one in windows:
        sums.add(max(one.x, 1e-6), one.y, one.sigma_x, one.sigma_y)
    return sums.capacity()
