from dataclasses import replace

import numpy as np
import pytest

from health.errors import HealthError
from health.forecast import AHEAD_DAYS, intervals
from health.forecasting.prior import PLAIN, Alternative, prior_for, read_prior
from rules.rule import rulebook
from telemetry.records import Quantity

LFP = prior_for("traction_battery_soh", "lfp")


@pytest.mark.parametrize("quantity", [*Quantity, "tire_pressure"])
def test_each_quantity_has_a_prior(quantity: str) -> None:
    assert prior_for(quantity).name == f"{quantity}.default"


def test_a_fleet_that_is_not_known_gets_the_default() -> None:
    assert prior_for(Quantity.TRACTION_BATTERY_SOH, "unheard_of") is prior_for(Quantity.TRACTION_BATTERY_SOH)
    assert prior_for(Quantity.TRACTION_BATTERY_SOH, PLAIN).growth_per_day == (0.0,)


def test_a_quantity_without_prior_is_refused_with_those_there_are() -> None:
    with pytest.raises(HealthError, match=r"'paint'.*oil_life"):
        prior_for("paint")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"growth_per_day": (0.1, 0.0)}, "ascending"),
        ({"growth_per_day": ()}, "at least one"),
        ({"faster_per_day": 0.0}, "rates above zero"),
        ({"calm_start": 0.0}, "calm_start"),
        ({"slope_deviation_per_day": 0.0}, "slope_deviation_per_day"),
        ({"slope_noise": (Alternative(deviation=0.1, share=0.5),)}, "sum to 1"),
        ({"interval_levels": ((0.0, 0.6, 0.9),)}, "either side"),
        ({"interval_levels": ()}, "at least one row"),
    ],
)
def test_impossible_priors_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(HealthError, match=message):
        replace(LFP, **change)  # type: ignore[arg-type]


def test_a_broken_entry_names_itself() -> None:
    with pytest.raises(HealthError, match=r"oil_life\.odd"):
        read_prior("oil_life.odd", {"growth_per_day": [0.0]})


def test_the_rule_warns_from_where_the_prior_says() -> None:
    rule = next(rule for rule in rulebook() if rule.id == "traction_battery_soh_forecast")
    threshold = prior_for(Quantity.TRACTION_BATTERY_SOH).warn_probability
    assert f"probability_30d > {threshold:g}" in rule.when.source


def test_levels_are_taken_by_how_far_the_median_lies() -> None:
    days = np.array([0.0, *AHEAD_DAYS])
    near, far = np.clip(days / 30, 0, 1), np.clip(days / 300, 0, 1)
    found = intervals(np.stack([near, far], axis=1), ((15.0, 0.1, 0.9), (150.0, 0.3, 0.7)))
    assert found.median == pytest.approx([15, 150])
    assert found.early == pytest.approx([3, 90])
    assert found.late == pytest.approx([27, 210])


def test_what_is_never_reached_has_no_end() -> None:
    shares = np.full((len(AHEAD_DAYS) + 1, 1), 0.2)
    found = intervals(shares, ((0.0, 0.05, 0.95),))
    assert found.early == [0.0]
    assert np.isinf(found.median)
    assert np.isinf(found.late)
