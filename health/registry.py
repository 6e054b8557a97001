"""Which estimators a kind of car gets, and how a vehicle profile's ``health:`` section sets their parameters."""

import dataclasses
import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal

import msgspec

from health.brake_pads import BrakePads, BrakePadsParameters
from health.errors import HealthError
from health.estimator import Estimator
from health.low_voltage_battery import LowVoltageBattery, LowVoltageBatteryParameters
from health.oil_life import OilLife, OilLifeParameters
from health.tires import Tires, TiresParameters
from health.traction_battery import TractionBattery, TractionBatteryParameters

Kind = Literal["petrol", "diesel", "electric", "hybrid", "generic"]

_ESTIMATORS: Final[dict[str, tuple[Callable[[Any], Estimator], type[Any]]]] = {
    OilLife.name: (OilLife, OilLifeParameters),
    BrakePads.name: (BrakePads, BrakePadsParameters),
    TractionBattery.name: (TractionBattery, TractionBatteryParameters),
    LowVoltageBattery.name: (LowVoltageBattery, LowVoltageBatteryParameters),
    Tires.name: (Tires, TiresParameters),
}
_COMBUSTION: Final = (OilLife.name, BrakePads.name, LowVoltageBattery.name, Tires.name)
# "generic" has them all: an estimator whose signals never come says nothing.
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "petrol": _COMBUSTION,
    "diesel": _COMBUSTION,
    "electric": (BrakePads.name, TractionBattery.name, LowVoltageBattery.name, Tires.name),
    "hybrid": tuple(_ESTIMATORS),
    "generic": tuple(_ESTIMATORS),
}


def estimator_names(kind: Kind) -> tuple[str, ...]:
    """Names of the estimators a kind of car gets; HealthError for an unknown kind."""
    if kind not in _KINDS:
        raise HealthError(f"unknown kind of vehicle {kind!r}{_nearest(kind, _KINDS)}; known: {', '.join(_KINDS)}")
    return _KINDS[kind]


def build_estimators(kind: Kind, parameters: Mapping[str, Mapping[str, object]] | None = None) -> list[Estimator]:
    """Fresh estimators of a kind of car. ``parameters``: estimator name -> parameter -> value, as in the profile.

    HealthError names the path in the profile, what is wrong, and the nearest valid word.
    """
    names = estimator_names(kind)
    given = parameters or {}
    for name in given:
        if name not in _ESTIMATORS:
            raise HealthError(
                f"health.{name}: unknown estimator{_nearest(name, _ESTIMATORS)}; known: {', '.join(names)}"
            )
        if name not in names:
            raise HealthError(f"health.{name}: a car of kind {kind!r} has none; known: {', '.join(names)}")
    return [_build(name, given.get(name, {})) for name in names]


def _build(name: str, given: Mapping[str, object]) -> Estimator:
    make, kind = _ESTIMATORS[name]
    if not isinstance(given, Mapping):
        raise HealthError(f"health.{name}: {given!r} is no table of parameters")
    fields = {field.name for field in dataclasses.fields(kind)}
    for key in given:
        if key not in fields:
            raise HealthError(f"health.{name}.{key}: unknown parameter{_nearest(key, fields)}")
    try:
        return make(msgspec.convert(dict(given), kind))
    except msgspec.ValidationError as error:
        raise HealthError(f"health.{name}: {error}") from error
    except HealthError as error:
        raise HealthError(f"health.{name}.{error}") from error


def _nearest(word: object, words: Collection[str]) -> str:
    close = difflib.get_close_matches(str(word), sorted(words), n=1)
    close = close or [other for other in sorted(words) if other.startswith(str(word))]  # the unit forgotten
    return f"; did you mean {close[0]!r}?" if close else ""
