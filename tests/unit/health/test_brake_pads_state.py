"""The state of brake pads: what version 1 knew is not lost."""

import json

import pytest

from health.brake_pads import BrakePads, BrakePadsParameters
from health.errors import HealthError
from telemetry.records import Quantity
from tests.unit.health.brake_pads_support import START, drive_stops, wheel

FIRST = {
    "estimator": "brake_pads",
    "version": 1,
    "row1": {
        "start": 40.0,
        "seen_j": 1e8,
        "unseen_km": 100.0,
        "changed": "2026-02-01T06:00:00Z",
        "reason": "front pads changed, workshop",
    },
    "row2": {"start": None, "seen_j": 0.0, "unseen_km": 0.0, "changed": None, "reason": ""},
    "newest": "2026-02-28T06:00:00Z",
    "last": "2026-02-28T06:00:00Z",
    "speed": 0.0,
    "odometer": 50_000_000.0,
    "unplaced_m": 300.0,
    "seen_j": 9e8,
    "seen_km": 6000.0,
    "unseen_km": 400.0,
    "episode_j": 10.0,
    "episode_at_drop_j": 5.0,
    "constant_s": 1.0,
    "ecu": {"Row1.Left": ["2026-02-28T06:00:00Z", 61.0]},
}


def test_a_state_of_version_1_is_taken_up_and_goes_on() -> None:
    pads = BrakePads()
    pads.restore(json.loads(json.dumps(FIRST)))
    # 800 MJ seen and 300 km unseen, 35 % on a front wheel, 55.9 mm3/MJ of 90,000 mm3
    expected = 40 + 100 * 1.2 * 55.9 * 0.35 / 90_000 * (800 + 300 * 902.4 / 6020)
    assert wheel(pads).value == pytest.approx(expected, rel=0.01)
    assert wheel(pads, "Row2.Left").high > 90
    assert {(one.source, one.quantity) for one in pads.estimates(START)} == {
        ("estimated", Quantity.PAD_WEAR),
        ("ecu", Quantity.PAD_WEAR),
    }
    before = wheel(pads).value
    drive_stops(pads, 50)
    assert wheel(pads).value > before
    again = BrakePads()
    again.restore(json.loads(json.dumps(pads.state())))
    assert again.state() == pads.state()


def test_a_damaged_state_of_version_1_is_refused() -> None:
    damaged = {key: value for key, value in FIRST.items() if key != "row2"}
    with pytest.raises(HealthError, match="damaged state of an older version"):
        BrakePads().restore(damaged)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"pad_new_mm_row1": 2.0}, "pad_new_mm_row1: 2.0 must be above pad_minimum_mm_row1"),
        ({"gauge_error_mm": 0.0}, "gauge_error_mm: 0.0 must be above zero"),
        ({"pad_volume_row2_mm3": -1.0}, "pad_volume_row2_mm3: -1.0 must be above zero"),
        ({"seen_error": 0.0}, "seen_error: 0.0 must lie between 0.01 and 0.5"),
    ],
)
def test_wrong_parameters_are_refused(given: dict[str, float], text: str) -> None:
    with pytest.raises(HealthError, match=text):
        BrakePadsParameters(**given)


def test_a_heavy_car_has_larger_pads_where_nobody_says_how_large() -> None:
    light, heavy = BrakePadsParameters(mass_kg=1000), BrakePadsParameters(mass_kg=3000)
    assert heavy.pad_volume_mm3("Row1") == 3 * light.pad_volume_mm3("Row1")
