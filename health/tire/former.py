"""States of the tyres' estimator as former versions wrote them: what was learned of a car is kept."""

from typing import Final, cast

from health.estimator import Json

_LINE: Final = ("at_hour", "first_hour", "hours", "s0", "s1", "s2", "sy", "sty", "syy")


def from_first(fields: Json) -> Json:
    """Version 1 to 2: sums become the line of long memory, the running hour is left out.

    Without squared weights the plain ones stand in: they are larger, so the interval is wider than it would be.
    """
    wheels: Json = {}
    for name, wheel in cast("dict[str, Json]", fields.get("wheels", {})).items():
        line: Json = {key: wheel[key] for key in _LINE if key in wheel}
        line |= {f"q{power}": wheel[f"s{power}"] for power in range(3) if f"s{power}" in wheel}
        wheels[name] = {"long": line}
    relative = len(wheels) > 2
    return {
        "newest": fields.get("newest"),
        "mode": "relative" if relative else "own",
        "among": sorted(wheels),
        "wheels": wheels,
    }
