"""How every estimator saves and restores: its recursion is one msgspec struct, written as plain JSON values.

The same state gives the same future: floats and times survive the way through JSON exactly.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from health.errors import HealthError
from health.estimator import Json

StateT = TypeVar("StateT", bound=msgspec.Struct)


def dump(name: str, version: int, state: msgspec.Struct) -> Json:
    """JSON values of a state, labelled with the estimator and the version of its fields."""
    fields: Json = msgspec.to_builtins(state)
    return {"estimator": name, "version": version, **fields}


def load(
    name: str,
    version: int,
    kind: type[StateT],
    saved: Mapping[str, object],
    former: Mapping[int, Callable[[Json], Json]] | None = None,
) -> StateT:
    """State of ``kind``; HealthError if it belongs to another estimator or version, or a field is wrong.

    ``former``: how the fields of an older version become those of the next one, by the older one's number.
    """
    if saved.get("estimator") != name:
        raise HealthError(f"{name}: this state belongs to {saved.get('estimator')!r}; restore it there")
    fields = {key: value for key, value in saved.items() if key not in {"estimator", "version"}}
    found = saved.get("version")
    try:
        while isinstance(found, int) and found != version and former is not None and found in former:
            fields, found = former[found](fields), found + 1
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise HealthError(f"{name}: damaged state of an older version: {error!r}; start from an empty state") from error
    if found != version:
        raise HealthError(
            f"{name}: state of version {saved.get('version')!r}, this program reads {version}; start anew"
        )
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise HealthError(f"{name}: damaged state: {error}; start from an empty state") from error
