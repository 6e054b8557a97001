"""Total capacity pooled over windows by approximate weighted total least squares, without keeping the windows.

Source: G. L. Plett, Recursive approximate weighted total least squares estimation of battery cell total capacity,
Journal of Power Sources 196 (2011) 2319. A window gives x = change of state of charge and y = charge, both noisy, with
their own sigma_x and sigma_y; y is scaled so that both errors are alike (his scale factor K). The cost to minimise

    chi2(Q) = sum (y - Q x)^2 / (Q^2 + 1)^2 * (Q^2 / sigma_x^2 + 1 / sigma_y^2)
            = (c4 Q^4 - 2 c5 Q^3 + (c1 + c6) Q^2 - 2 c2 Q + c3) / (Q^2 + 1)^2

needs six sums, each times the forgetting factor before a window is added:

    c1 = sum x^2/sigma_y^2   c2 = sum x y/sigma_y^2   c3 = sum y^2/sigma_y^2
    c4 = sum x^2/sigma_x^2   c5 = sum x y/sigma_x^2   c6 = sum y^2/sigma_x^2

Its derivative is zero at a root of  c5 Q^4 + (2 c4 - c1 - c6) Q^3 + 3 (c2 - c5) Q^2 + (c1 - 2 c3 + c6) Q - c2,
and the variance of the estimate is 2 over the second derivative there.
"""

import math
from dataclasses import dataclass

from health.errors import HealthError

_ITERATIONS = 60


@dataclass(kw_only=True)
class PooledWindows:
    """The six sums. ``scale``: y is multiplied by it, best sigma_x / sigma_y of a usual window."""

    scale: float
    c1: float = 0.0
    c2: float = 0.0
    c3: float = 0.0
    c4: float = 0.0
    c5: float = 0.0
    c6: float = 0.0

    def add(self, x: float, y: float, sigma_x: float, sigma_y: float, *, forgetting: float = 1.0) -> None:
        """One window; x is a share of full charge, y in the unit the capacity shall have, both positive."""
        scaled, sigma_scaled = y * self.scale, sigma_y * self.scale
        by_y, by_x = sigma_scaled**-2, sigma_x**-2
        self.c1 = self.c1 * forgetting + x * x * by_y
        self.c2 = self.c2 * forgetting + x * scaled * by_y
        self.c3 = self.c3 * forgetting + scaled * scaled * by_y
        self.c4 = self.c4 * forgetting + x * x * by_x
        self.c5 = self.c5 * forgetting + x * scaled * by_x
        self.c6 = self.c6 * forgetting + scaled * scaled * by_x

    def capacity(self) -> tuple[float, float]:
        """The capacity and its standard deviation; HealthError while no window was added."""
        if self.c4 <= 0 or self.c5 <= 0:
            raise HealthError("no window of charge to pool: add one first")
        q = self._root()
        return q / self.scale, math.sqrt(2 / max(self._curvature(q), 1e-300)) / self.scale

    def _slope(self, q: float) -> float:
        quartic = self.c5 * q**4 + (2 * self.c4 - self.c1 - self.c6) * q**3 + 3 * (self.c2 - self.c5) * q * q
        return quartic + (self.c1 - 2 * self.c3 + self.c6) * q - self.c2

    def _curvature(self, q: float) -> float:
        polynomial = -2 * self.c5 * q**5 + (3 * self.c1 - 6 * self.c4 + 3 * self.c6) * q**4
        polynomial += (16 * self.c5 - 12 * self.c2) * q**3
        polynomial += (10 * self.c3 - 8 * self.c1 + 6 * self.c4 - 8 * self.c6) * q * q
        polynomial += (12 * self.c2 - 6 * self.c5) * q + self.c1 - 2 * self.c3 + self.c6
        return 2 * polynomial / (q * q + 1) ** 4

    def _root(self) -> float:
        """The root between regressing y on x and x on y, which err in opposite ways: by bisection."""
        guesses = sorted((self.c5 / self.c4, self.c6 / self.c5, self.c2 / self.c1, self.c3 / self.c2))
        low, high = guesses[0] * (1 - 1e-9), guesses[-1] * (1 + 1e-9)
        if self._slope(low) > 0 or self._slope(high) < 0:
            return self.c6 / self.c5  # x errs much more than y: this one is nearly unbiased
        for _ in range(_ITERATIONS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._slope(middle) < 0 else (low, middle)
        return (low + high) / 2
