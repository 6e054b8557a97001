"""VINs that fit a profile's patterns, made for tests: no car has them."""

import re

from edge_agent.recognition.vin import check_digit_is_right, model_years
from firmware_profiles.profile import VehicleProfile

_CLASS = re.compile(r"\[([^\]])[^\]]*\]")
_YEARS = "ABCDEFGHJKLMNPRSTVWXY123456789"


def vin_of(profile: VehicleProfile, pattern: str | None = None, serial: str = "048123") -> str:
    """A VIN of that pattern (else the first one), in the first model year; its check digit is right if it is one."""
    match = profile.match
    assert match is not None
    begin = _CLASS.sub(r"\1", match.vin[0] if pattern is None else pattern).replace("?", "A")
    year = match.first_year or match.last_year or 2022
    # The 7th character of a North American car since 2010 is a letter; what a pattern leaves open is an A here.
    body = begin.ljust(8, "A")[:8]
    code = begin[9:10] or _YEARS[(year - 1980) % 30]
    plant = begin[10:11] or "A"
    made = [f"{body}{digit}{code}{plant}{serial}" for digit in begin[8:9] or "0123456789X"]
    vin = next((each for each in made if check_digit_is_right(each)), made[0])
    assert year in model_years(vin) or len(begin) > 9, f"{profile.name}: {vin} cannot be of {year}"
    return vin
