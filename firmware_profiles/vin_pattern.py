"""What the VIN of a kind of car begins with: ``KM8K``, ``1G1F?6S0``, ``5YJ[3Y]``. Nothing else of VINs belongs here.

A pattern stands for leading characters; ``?`` is any character, ``[AC-E]`` one of A, C, D, E. Maker (characters 1 to 3,
ISO 3780) and model (4 to 8, ISO 3779) stand first; what follows the pattern does not matter.
"""

import re
from functools import cache

_TOKEN = re.compile(r"\[[^\]]*\]|.")
_ANY = "?"


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression to ``match`` a VIN with; ValueError where a class runs backwards."""
    try:
        return re.compile(pattern.replace(_ANY, "[A-HJ-NPR-Z0-9]"))
    except re.error:
        raise ValueError(f"a class in {pattern!r} runs backwards; write [A-C], not [C-A]") from None


def matches(pattern: str, vin: str) -> bool:
    """Whether the VIN, or what is known of its beginning, has the pattern."""
    return compile_pattern(pattern).match(vin) is not None


def positions(pattern: str) -> tuple[int, ...]:
    """The positions (1 to 17) of the VIN that the pattern looks at: those that ``?`` skips are none."""
    return tuple(number for number, token in enumerate(_TOKEN.findall(pattern), start=1) if token != _ANY)
