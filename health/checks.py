"""Checks of parameters: each error names the parameter, its value and what it may be."""

from health.errors import HealthError


def require_positive(**parameters: float) -> None:
    """HealthError unless each is above zero and finite."""
    for name, value in parameters.items():
        if not 0 < value < float("inf"):
            raise HealthError(f"{name}: {value} must be above zero")


def require_between(low: float, high: float, **parameters: float | None) -> None:
    """HealthError unless each given one lies in [low, high]; None (unknown) is accepted."""
    for name, value in parameters.items():
        if value is not None and not low <= value <= high:
            raise HealthError(f"{name}: {value} must lie between {low:g} and {high:g}")
