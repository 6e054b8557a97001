"""What a VIN says by itself. The examples with a check digit are those of 49 CFR 565 and of public standards texts."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.recognition.vin import beginning, check_digit_is_right, model_years, year_is_certain

characters = st.sampled_from(sorted(set(string.ascii_uppercase + string.digits) - set("IOQ")))
vins = st.lists(characters, min_size=17, max_size=17).map("".join)


@pytest.mark.parametrize("vin", ["1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715", "1HGCM82633A004352"])
def test_check_digits_that_are_right(vin: str) -> None:
    assert check_digit_is_right(vin)


@pytest.mark.parametrize("vin", ["1M8GDM9A0KP042788", "1HGCM82643A004352", "1HGCM8263", "", "1HGCM82633A00435O"])
def test_check_digits_that_are_wrong(vin: str) -> None:
    assert not check_digit_is_right(vin)


@given(vins, st.integers(0, 16), characters)
def test_most_single_misread_characters_show(vin: str, position: int, other: str) -> None:
    """The check digit finds every substitution whose value differs; it is the same for one character alone."""
    right = next(made for digit in "0123456789X" if check_digit_is_right(made := vin[:8] + digit + vin[9:]))
    assert sum(check_digit_is_right(right[:8] + digit + right[9:]) for digit in "0123456789X") == 1
    misread = right[:position] + other + right[position + 1 :]
    if position == 8:
        assert check_digit_is_right(misread) == (other == right[8])


@pytest.mark.parametrize(
    ("vin", "years"),
    [
        ("1M8GDM9AXKP042788", (1989,)),  # 7th character 9: before 2010
        ("1G1FW6S00P4100001", (2023,)),  # 7th character a letter: from 2010 on
        ("WVGZZZE2ZMP000001", (1991, 2021)),  # European: 30 years apart, and no law that it is the year
        ("WVGZZZE2Z0P000001", ()),  # 0 is no year
        ("KM8K33A", ()),
    ],
)
def test_model_years(vin: str, years: tuple[int, ...]) -> None:
    assert model_years(vin) == years


def test_a_car_made_elsewhere_for_north_america_tells_its_year_by_a_letter() -> None:
    def with_check_digit(begin: str) -> str:
        return next(vin for digit in "0123456789X" if check_digit_is_right(vin := f"{begin}{digit}LU000001"))

    assert model_years(with_check_digit("KM8K33AG")) == (2020,)
    assert model_years(with_check_digit("KMHK3813")) == (1990, 2020)  # it may be right by chance
    assert not year_is_certain(with_check_digit("KM8K33AG"))
    assert year_is_certain("1HGCM82633A004352")


def test_the_beginning_names_a_kind_of_car_and_not_this_one() -> None:
    assert beginning("KM8K33AG4LU012345") == "KM8K33AG*L*******"
