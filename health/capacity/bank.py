"""Several capacity filters side by side, each for another way of fading, weighted by how well they foretell windows.

Source: D. T. Magill, Optimal adaptive estimation of sampled stochastic processes, IEEE Trans. Automat. Contr. 10 (1965)
434: the weight of a model is the likelihood of its innovations. Weights forget, so that a battery that was calm for
years may break down. The result is the mixture's mean and variance: what the models disagree in is in the interval.
"""

import math
from datetime import datetime
from typing import Final

import msgspec

from health.capacity import filter as capacity_filter
from health.capacity.filter import FilterParameters, FilterState, Kind
from health.errors import HealthError

_FORGETTING: Final = 0.98  # of the log weights per window
_DAY_S: Final = 86_400.0


class Bank(msgspec.Struct, forbid_unknown_fields=True):
    """The filters in the order of ``FilterParameters.fadings``, their log weights, and the time they are carried to."""

    filters: list[FilterState]
    weights: list[float]
    time: datetime

    @property
    def likeliest(self) -> FilterState:
        """The filter that foretells best."""
        return self.filters[self.weights.index(max(self.weights))]

    def mixture(self) -> tuple[float, float]:
        """Inverse capacity and its variance."""
        most = max(self.weights)
        shares = [math.exp(weight - most) for weight in self.weights]
        whole = sum(shares)
        u = sum(share * one.mean[0] for share, one in zip(shares, self.filters, strict=True)) / whole
        return u, sum(
            share * (one.covariance[0][0] + (one.mean[0] - u) ** 2)
            for share, one in zip(shares, self.filters, strict=True)
        ) / whole


def start(time: datetime, parameters: FilterParameters) -> Bank:
    """Before any window."""
    filters = [capacity_filter.start(parameters, fading) for fading in parameters.fadings]
    return Bank(filters, _shares(parameters), time)


def check(bank: Bank, parameters: FilterParameters) -> None:
    """HealthError where a saved bank is damaged, or of other ways to fade."""
    if len(bank.filters) != len(parameters.fadings) or len(bank.weights) != len(parameters.fadings):
        raise HealthError(f"a state of {len(bank.filters)} ways to fade, not {len(parameters.fadings)}; start anew")
    for one in bank.filters:
        capacity_filter.check(one)


def advanced(bank: Bank, time: datetime, parameters: FilterParameters) -> Bank:
    """The bank carried to ``time``; the one given stays as it is."""
    days = (time - bank.time).total_seconds() / _DAY_S
    filters = [capacity_filter.copy(one) for one in bank.filters]
    for one, fading in zip(filters, parameters.fadings, strict=True):
        capacity_filter.advance(one, days, parameters, fading)
    return Bank(filters, bank.weights.copy(), max(bank.time, time))


def observe(bank: Bank, kind: Kind, z: float, variance: float, low_end: float) -> None:
    """One window for all; as in capacity_filter."""
    for index, one in enumerate(bank.filters):
        error, total = capacity_filter.innovation(one, kind, z, variance, low_end)
        surprise = min(error * error / total, capacity_filter.CLIP**2) + math.log(total)
        bank.weights[index] = _FORGETTING * bank.weights[index] - surprise / 2
        capacity_filter.observe(one, kind, z, variance, low_end)
    most = max(bank.weights)
    bank.weights = [weight - most for weight in bank.weights]


def restart(bank: Bank, u: float, error: float, parameters: FilterParameters) -> None:
    """Another capacity from now on; what was learned of the gauge is kept, of the way of fading nothing."""
    for one, fading in zip(bank.filters, parameters.fadings, strict=True):
        capacity_filter.restart(one, u, error, fading)
    bank.weights = _shares(parameters)


def _shares(parameters: FilterParameters) -> list[float]:
    return [math.log(fading.share) for fading in parameters.fadings]
