"""The catalogue is data, and data has tests."""

from fractions import Fraction

import pytest

from telemetry.catalogue import catalogue
from telemetry.errors import CatalogueError


def test_signals_have_room_for_their_resolution() -> None:
    for signal in catalogue():
        for step in signal.resolutions:
            assert step <= signal.maximum - signal.minimum, signal.path


def test_boolean_signals_count_in_ones() -> None:
    for signal in catalogue():
        if signal.datatype == "boolean":
            assert (signal.minimum, signal.maximum) == (0.0, 1.0), signal.path
            assert signal.resolutions == (Fraction(1),), signal.path


def test_obd_signals_left_the_core_and_are_overlays() -> None:
    for signal in catalogue():
        if signal.path.startswith("Vehicle.OBD."):
            assert signal.overlay, signal.path


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(CatalogueError, match=r"did you mean 'Vehicle\.Speed'"):
        catalogue().by_path("Vehicle.Sped")
    with pytest.raises(CatalogueError, match="did you mean 'engine_speed'"):
        catalogue().by_column("engin_speed")


def test_nan_is_no_value() -> None:
    assert not catalogue().by_column("speed").accepts(float("nan"))
