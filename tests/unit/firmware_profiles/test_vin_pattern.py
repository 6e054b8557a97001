"""Patterns over a VIN's leading characters."""

import pytest

from firmware_profiles.vin_pattern import matches, positions


@pytest.mark.parametrize(
    ("pattern", "vin", "expected"),
    [
        ("KM8K", "KM8K33AG1MU000001", True),
        ("KM8K", "KM8J33AG1MU000001", False),
        ("1G1F?6S0", "1G1FW6S00P4100001", True),
        ("1G1F?6S0", "1G1FW6T00P4100001", False),
        ("5YJ[3Y]", "5YJYGDEE0MF000001", True),
        ("5YJ[3Y]", "5YJSGDEE0MF000001", False),
        ("1FT[E-G]W1", "1FTFW1E50MFA00001", True),
        ("1FT[E-G]W1", "1FTHW1E50MFA00001", False),
        ("KM8K", "KM8", False),  # a masked VIN that ends before the pattern does
        ("?M8", "_M8", False),  # not every character can stand in a VIN
    ],
)
def test_a_pattern_stands_for_leading_characters(pattern: str, vin: str, expected: bool) -> None:
    assert matches(pattern, vin) is expected


def test_positions_are_those_looked_at() -> None:
    assert positions("1G1F?6S0") == (1, 2, 3, 4, 6, 7, 8)
    assert positions("5YJ[3Y]?[A-C]") == (1, 2, 3, 4, 6)
