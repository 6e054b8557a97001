"""The signal catalogue, typed and checked: ``signals.yaml`` is data, this module is the only one that reads it."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Literal, cast

import yaml

from telemetry.errors import CatalogueError
from telemetry.units import UNITS, Unit

Datatype = Literal["float", "int", "boolean"]
_KEYS = {"code", "path", "column", "unit", "datatype", "range", "resolutions", "overlay"}


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One thing that can be measured on a car.

    ``minimum`` and ``maximum`` are in ``unit`` and inclusive; ``resolutions`` are sensor steps in ``unit``.
    """

    code: int
    path: str
    column: str
    unit: Unit
    datatype: Datatype
    minimum: float
    maximum: float
    resolutions: tuple[Fraction, ...]
    overlay: bool

    def accepts(self, value: float) -> bool:
        """Whether the value can be true of a car (NaN cannot)."""
        return self.minimum <= value <= self.maximum


class Catalogue:
    """All signals, found by path, by column or by wire code."""

    def __init__(self, signals: tuple[Signal, ...]) -> None:
        self.signals = signals
        self._by_path = _unique(signals, "path")
        self._by_column = _unique(signals, "column")
        self._by_code = {signal.code: signal for signal in signals}
        if len(self._by_code) != len(signals):
            raise CatalogueError("signals.yaml: a wire code is used twice; give each signal a code of its own")

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)

    def __contains__(self, path: object) -> bool:
        return path in self._by_path

    def by_path(self, path: str) -> Signal:
        """Signal of a VSS path; raises CatalogueError naming the nearest path."""
        return _find(self._by_path, path, "signal path")

    def by_column(self, column: str) -> Signal:
        """Signal of a column; raises CatalogueError naming the nearest column."""
        return _find(self._by_column, column, "signal column")

    def by_code(self, code: int) -> Signal | None:
        """Signal of a wire code, or None for a code of a later catalogue."""
        return self._by_code.get(code)


@cache
def catalogue() -> Catalogue:
    """The catalogue that ships with this version, loaded once."""
    text = resources.files("telemetry").joinpath("signals.yaml").read_text(encoding="utf-8")
    document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the C twin of the safe loader
    return Catalogue(tuple(_signal(entry) for entry in document["signals"]))


def _signal(entry: Mapping[str, object]) -> Signal:
    where = f"signals.yaml: {entry.get('path', entry)}"
    for key in entry:
        if key not in _KEYS:
            raise CatalogueError(f"{where}: unknown key {key!r}{_nearest(key, _KEYS)}")
    missing = _KEYS - {"overlay"} - set(entry)
    if missing:
        raise CatalogueError(f"{where}: key {min(missing)!r} is missing")
    unit = str(entry["unit"])
    if unit not in UNITS:
        raise CatalogueError(f"{where}: unknown unit {unit!r}{_nearest(unit, UNITS)}")
    datatype = str(entry["datatype"])
    if datatype not in {"float", "int", "boolean"}:
        raise CatalogueError(f"{where}: datatype {datatype!r} is none of float, int, boolean")
    low, high = cast("tuple[float, float]", entry["range"])
    if not low < high:
        raise CatalogueError(f"{where}: the range [{low}, {high}] is empty")
    steps = tuple(Fraction(str(step)) for step in cast("list[object]", entry["resolutions"]))
    if not steps or min(steps) <= 0:
        raise CatalogueError(f"{where}: give at least one resolution, each above zero")
    return Signal(
        code=int(str(entry["code"])),
        path=str(entry["path"]),
        column=str(entry["column"]),
        unit=UNITS[unit],
        datatype=cast("Datatype", datatype),
        minimum=float(low),
        maximum=float(high),
        resolutions=steps,
        overlay=bool(entry.get("overlay", False)),
    )


def _unique(signals: tuple[Signal, ...], attribute: str) -> dict[str, Signal]:
    found: dict[str, Signal] = {}
    for signal in signals:
        key: str = getattr(signal, attribute)
        if key in found:
            raise CatalogueError(f"signals.yaml: {attribute} {key!r} stands twice")
        found[key] = signal
    return found


def _find(table: Mapping[str, Signal], key: str, what: str) -> Signal:
    try:
        return table[key]
    except KeyError:
        raise CatalogueError(f"unknown {what} {key!r}{_nearest(key, table)}") from None


def _nearest(word: str, words: object) -> str:
    close = difflib.get_close_matches(word, list(cast("Mapping[str, object]", words)), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
