"""Kalman filter of a fading capacity over many windows of charge, with what errs alike at each window as states.

Each window gives z, the state of charge gained per charge, in nominal capacities: an observation of the *inverse*
capacity u = nominal / capacity. Charge is counted ten times better than a gauge tells its state, so the noise then
stands on the left side alone, the filter is linear, and short windows do not pull the figure down as they do where
charge is regressed on state of charge (Plett 2011, section 3). State, all shares:

    u, its change per day          u(t + d) = u + d u',  random walks of both (local linear trend)
    b_low    the gauge reads low by this much when empty, by nothing above ``LOW_END`` percent
    b_gauge  scale of the gauge    b_curve  scale of the open-circuit curve    b_window  of the voltage window

    gauge    z = u + u b_gauge + b_low g + noise        g: change of the bias' shape per charge of the window
    rests    z = u + u b_curve + noise
    voltage  z = u + u b_window + noise

No pooling takes a common error away: it stays in the state, and with it in the interval, unless another kind of
window tells it. Innovations are clipped at ``CLIP`` standard deviations (P. Huber's influence function, as in
robust Kalman filters: Masreliez and Martin, IEEE Trans. Automat. Contr. 22 (1977) 361), and the noise of each
kind of window is learned from its innovations, starting from what is usual: a car's gauge may be better or worse.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from health.errors import HealthError

Kind = Literal["gauge", "rests", "voltage"]

LOW_END: Final = 40.0  # percent
CLIP: Final = 2.5  # standard deviations
_STATES: Final = 6
_SCALES: Final[dict[Kind, int]] = {"gauge": 3, "rests": 4, "voltage": 5}
_NOISE_WEIGHT: Final = 8.0  # windows the usual noise counts for before a car's own is believed
_NOISE_MEMORY: Final = 80.0  # windows over which a car's noise is learned
_NOISE_RANGE: Final = (0.1, 6.0)  # of the usual variance
_MOST_CORRELATED: Final = 0.7  # a lag behind fast fading looks the same: more would make it worse
_CLIPPED_SHARE: Final = 1.03  # variance of a normal variable over that of one clipped at CLIP


@dataclass(frozen=True)
class Fading:
    """One way to fade: how fast, and how suddenly otherwise than before."""

    share: float  # of all batteries, before any window
    per_day: float  # growth of u per day before any window, the mean of such batteries
    per_day_error: float  # standard deviation of that among them
    walk: float  # of u, standard deviation per square root of a day
    per_day_walk: float  # of its growth per day, the same


@dataclass(frozen=True, kw_only=True)
class FilterParameters:
    """Shares of the nominal capacity; ``…error`` and ``…walk`` are standard deviations.

    ``fadings``: a car's calm one, a laboratory cell's, and one that breaks down (capacity_bank). All chosen by
    tests/benchmarks/health/fit_traction_battery.py on cells and charges that are not judged.
    """

    health: float = 0.90  # capacity before any window, share of nominal: a used car's
    health_error: float = 0.15
    fadings: tuple[Fading, ...] = (
        Fading(share=0.6, per_day=7e-5, per_day_error=1e-4, walk=3e-4, per_day_walk=6e-6),
        Fading(share=0.3, per_day=2e-4, per_day_error=3e-4, walk=1e-3, per_day_walk=1.2e-5),
        Fading(share=0.1, per_day=1.5e-3, per_day_error=1e-3, walk=6e-3, per_day_walk=3e-5),
    )
    low_bias: float = 0.004
    low_bias_error: float = 0.010
    gauge_scale: float = 0.003
    gauge_scale_error: float = 0.008
    curve_scale_error: float = 0.005
    window_scale_error: float = 0.10
    window_walk: float = 1.0e-3  # of b_window per square root of a day: ageing shifts the curve and the resistance

    def __post_init__(self) -> None:
        if not self.fadings:
            raise HealthError("fadings: give at least one way to fade")


class FilterState(msgspec.Struct, forbid_unknown_fields=True):
    """Mean and covariance (row by row), and per kind of window its share of the usual variance and their number."""

    mean: list[float]
    covariance: list[list[float]]
    noise: dict[Kind, float]
    windows: dict[Kind, int]
    together: dict[Kind, float]  # pooled product of innovations of the same kind that follow each other
    before: dict[Kind, float]  # the last innovation, in standard deviations of the noise


def start(parameters: FilterParameters, fading: Fading) -> FilterState:
    """What is known of a battery before its first window."""
    u = 1 / parameters.health
    mean = [u, fading.per_day, parameters.low_bias, parameters.gauge_scale, 0.0, 0.0]
    errors = (
        parameters.health_error * u * u,
        fading.per_day_error,
        parameters.low_bias_error,
        parameters.gauge_scale_error,
        parameters.curve_scale_error,
        parameters.window_scale_error,
    )
    covariance = [[error * error if i == j else 0.0 for j in range(_STATES)] for i, error in enumerate(errors)]
    return FilterState(mean, covariance, {"gauge": 1.0, "rests": 1.0, "voltage": 1.0}, {}, {}, {})


def check(state: FilterState) -> None:
    """HealthError for a state that no recursion leads to."""
    rows = [state.mean, *state.covariance]
    if len(rows) != _STATES + 1 or any(len(row) != _STATES or not all(map(math.isfinite, row)) for row in rows):
        raise HealthError(f"damaged state: a filter has {_STATES} finite means and their covariance; start anew")
    errors = [math.sqrt(max(0.0, state.covariance[index][index])) for index in range(_STATES)]
    for error, row in zip(errors, state.covariance, strict=True):
        if any(abs(value) > 1.01 * error * other for value, other in zip(row, errors, strict=True)):
            raise HealthError("damaged state: a covariance beyond its variances; start anew")
    if set(state.noise) != set(_SCALES) or min(state.noise.values()) <= 0:
        raise HealthError(f"damaged state: noise needs a positive share of each of {', '.join(_SCALES)}; start anew")


def copy(state: FilterState) -> FilterState:
    """Another of the same content."""
    covariance = [row.copy() for row in state.covariance]
    kinds = (state.noise.copy(), state.windows.copy(), state.together.copy(), state.before.copy())
    return FilterState(state.mean.copy(), covariance, *kinds)


def restart(state: FilterState, u: float, error: float, fading: Fading) -> None:
    """Another capacity from now on, as after a repair; what was learned of the gauge is kept."""
    _put(state, 0, u, error)
    _put(state, 1, fading.per_day, fading.per_day_error)


def forget_gauge(state: FilterState, parameters: FilterParameters) -> None:
    """The gauge was taught anew, or the cells balanced: what was learned of its bias is void."""
    _put(state, 2, parameters.low_bias, parameters.low_bias_error)
    _put(state, 3, parameters.gauge_scale, parameters.gauge_scale_error)


def _put(state: FilterState, index: int, mean: float, error: float) -> None:
    state.mean[index] = mean
    for other in range(_STATES):
        state.covariance[index][other] = state.covariance[other][index] = 0.0
    state.covariance[index][index] = error * error


def advance(state: FilterState, days: float, parameters: FilterParameters, fading: Fading) -> None:
    """Carry the state over some days of ageing."""
    if days <= 0:
        return
    p = state.covariance
    state.mean[0] += days * state.mean[1]
    for other in range(_STATES):
        p[0][other] += days * p[1][other]
    for other in range(_STATES):
        p[other][0] += days * p[other][1]
    walk, fade = fading.walk**2, fading.per_day_walk**2
    p[0][0] += walk * days + fade * days**3 / 3
    p[0][1] += fade * days * days / 2
    p[1][0] += fade * days * days / 2
    p[1][1] += fade * days
    p[5][5] += parameters.window_walk**2 * days


def innovation(state: FilterState, kind: Kind, z: float, variance: float, low_end: float = 0.0) -> tuple[float, float]:
    """How far a window lies off what is expected of it, and the variance of that."""
    row = _row(state, kind, low_end)
    expected = state.mean[0] + common_error(state, kind, low_end)
    spread = sum(row[i] * row[j] * state.covariance[i][j] for i in range(_STATES) for j in range(_STATES))
    return z - expected, spread + variance * noise_share(state, kind)


def common_error(state: FilterState, kind: Kind, low_end: float = 0.0) -> float:
    """What is expected of z beyond u: the errors that all windows of a kind share, as far as they are known."""
    return state.mean[0] * state.mean[_SCALES[kind]] + (state.mean[2] * low_end if kind == "gauge" else 0.0)


def noise_share(state: FilterState, kind: Kind) -> float:
    """Variance of a window's noise as a share of the usual one, as many independent windows would have it.

    Where a gauge's error lasts from charge to charge (first order, correlation r), a mean over many windows has
    (1 + r) / (1 - r) times the variance that independent errors would give it.
    """
    correlation = min(_MOST_CORRELATED, max(0.0, state.together.get(kind, 0.0)))
    return state.noise[kind] * (1 + correlation) / (1 - correlation)


def observe(state: FilterState, kind: Kind, z: float, variance: float, low_end: float = 0.0) -> None:
    """Take one window in; ``variance`` of z where the noise is the usual one, ``low_end`` is g above."""
    error, total = innovation(state, kind, z, variance, low_end)
    row, share = _row(state, kind, low_end), noise_share(state, kind)
    p = state.covariance
    gain = [sum(p[i][j] * row[j] for j in range(_STATES)) / total for i in range(_STATES)]
    limit = CLIP * math.sqrt(total)
    clipped = min(max(error, -limit), limit)
    for i in range(_STATES):
        state.mean[i] += gain[i] * clipped
    projected = [gain[i] * total for i in range(_STATES)]
    for i in range(_STATES):
        for j in range(i, _STATES):
            p[i][j] = p[j][i] = (p[i][j] + p[j][i]) / 2 - gain[i] * projected[j]
    _learn_noise(state, kind, clipped, total - variance * share, variance)


def _row(state: FilterState, kind: Kind, low_end: float) -> list[float]:
    row = [0.0] * _STATES
    row[0] = 1 + state.mean[_SCALES[kind]]
    row[2] = low_end if kind == "gauge" else 0.0
    row[_SCALES[kind]] = state.mean[0]
    return row


def _learn_noise(state: FilterState, kind: Kind, error: float, known: float, variance: float) -> None:
    """The share of the usual variance that explains this innovation, pooled with those before; and how they follow."""
    count = state.windows.get(kind, 0) + 1
    state.windows[kind] = count
    weight = 1 / (_NOISE_WEIGHT + min(count, _NOISE_MEMORY))
    share = error * error * _CLIPPED_SHARE / (variance + known / state.noise[kind])
    low, high = _NOISE_RANGE
    state.noise[kind] = min(high, max(low, state.noise[kind] + weight * (share - state.noise[kind])))
    standard = error / math.sqrt(variance * state.noise[kind] + known)
    product = standard * state.before.get(kind, 0.0)
    state.together[kind] = state.together.get(kind, 0.0) + weight * (product - state.together.get(kind, 0.0))
    state.before[kind] = standard
