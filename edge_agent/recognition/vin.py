"""What a vehicle identification number says by itself: check digit, model year, and what of it names no single car.

ISO 3779 gives the form: 1 to 3 the maker, 4 to 9 the vehicle, 10 to 17 this one. In North America 49 CFR 565 makes the
9th a check digit and the 10th the model year; elsewhere a maker may put there what it likes.
"""

import re
from typing import Final

LENGTH: Final = 17
MASK: Final = "*"
# 49 CFR 565.15(b)(2), tables III and IV: I, O and Q stand in no VIN.
_VALUES: Final = dict(
    zip(
        "ABCDEFGHJKLMNPRSTUVWXYZ0123456789",
        (
            *range(1, 9),
            *range(1, 6),
            7,
            9,
            *range(2, 10),
            *range(10),
        ),
        strict=True,
    )
)  # fmt: skip - two rows as in the table
_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_YEAR_CODES: Final = "ABCDEFGHJKLMNPRSTVWXY123456789"  # 1980 to 2009, and again from 2010; no U and Z
_FIRST_YEAR: Final = 1980
_NORTH_AMERICA: Final = "12345"  # ISO 3780: the first character of makers there
MODEL_ENDS: Final = 8  # the characters up to here stand for thousands of cars
_YEAR_POSITION: Final = 10
_FORM: Final = re.compile(r"[A-HJ-NPR-Z0-9]{17}")


def is_vin(text: str) -> bool:
    """Whether it has the form of a whole VIN."""
    return _FORM.fullmatch(text) is not None


def check_digit_is_right(vin: str) -> bool:
    """Whether the 9th character is the check digit of the others (49 CFR 565.15)."""
    if not is_vin(vin):
        return False
    remainder = sum(_VALUES[character] * weight for character, weight in zip(vin, _WEIGHTS, strict=True)) % 11
    return vin[8] == ("X" if remainder == 10 else str(remainder))


def has_check_digit(vin: str) -> bool:
    """Whether its maker is North American, so that the check digit must be right."""
    return vin[:1] in _NORTH_AMERICA and len(vin) == LENGTH


def model_years(vin: str) -> tuple[int, ...]:
    """The model years its 10th character can mean: one or two, 30 years apart; none where it means no year.

    The 7th character of a North American car tells the two apart: a digit before 2010, a letter from then on. So it
    does in a car made elsewhere for that market; a check digit that is right by chance then misleads only if a digit
    stood there, which is therefore not believed.
    """
    if len(vin) < _YEAR_POSITION or (index := _YEAR_CODES.find(vin[_YEAR_POSITION - 1])) < 0:
        return ()
    early, late = _FIRST_YEAR + index, _FIRST_YEAR + len(_YEAR_CODES) + index
    if vin[6].isalpha() and (year_is_certain(vin) or check_digit_is_right(vin)):
        return (late,)
    return (early,) if year_is_certain(vin) else (early, late)


def year_is_certain(vin: str) -> bool:
    """Whether the 10th character is the model year by law: North American cars."""
    return vin[:1] in _NORTH_AMERICA


def beginning(vin: str) -> str:
    """What of a VIN names a kind of car and not this one: maker and model (1 to 8) and model year (10), the rest ``*``.

    The check digit is masked too: it tells of the serial number.
    """
    kept = {*range(1, MODEL_ENDS + 1), _YEAR_POSITION}
    return "".join(character if number in kept else MASK for number, character in enumerate(vin, start=1))
