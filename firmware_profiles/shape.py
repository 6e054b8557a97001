"""What a file may contain, described once: the checks and the JSON schema are both made from these kinds.

A kind checks a YAML value and returns what it means (a duration becomes seconds), or describes itself as JSON schema.
``partial`` is the looser form for a file that extends another or is a family: keys may come from elsewhere.
"""

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from firmware_profiles.errors import ProfileError

_DURATION = re.compile(r"^([0-9]+(?:\.[0-9]+)?) ?(ms|s|min|h|d)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATIO = r"^-?[0-9]+(\.[0-9]+)?(/[1-9][0-9]*)?$"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in which file a value stands."""

    file: str
    path: str = ""

    def key(self, name: str) -> "Place":
        """The place of a key below."""
        return Place(file=self.file, path=f"{self.path}.{name}" if self.path else name)

    def item(self, label: str) -> "Place":
        """The place of a list item below, by number or by its name."""
        return Place(file=self.file, path=f"{self.path}[{label}]")

    def error(self, text: str) -> ProfileError:
        """The error to raise for this place."""
        return ProfileError(f"{self.file}: {self.path}: {text}" if self.path else f"{self.file}: {text}")


def nearest(word: str, words: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of the words, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class Kind(Protocol):
    """What a value may be."""

    def check(self, value: object, place: Place, *, partial: bool) -> object:
        """The meaning of the value; ProfileError names the place and says what to write instead."""
        ...

    def schema(self, *, partial: bool) -> dict[str, object]:
        """The same as JSON schema (draft 2020-12)."""
        ...


class Leaf(ABC):
    """A kind without kinds inside: it is whole or wrong, partial or not."""

    def check(self, value: object, place: Place, *, partial: bool) -> object:
        """See :class:`Kind`."""
        del partial
        return self.read(value, place)

    def schema(self, *, partial: bool) -> dict[str, object]:
        """See :class:`Kind`."""
        del partial
        return self.json_schema()

    @abstractmethod
    def read(self, value: object, place: Place) -> object:
        """The meaning of the value, or ProfileError."""

    @abstractmethod
    def json_schema(self) -> dict[str, object]:
        """The kind as JSON schema."""


def _what(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


@dataclass(frozen=True)
class Text(Leaf):
    """Text, of a form where ``pattern`` is given; ``form`` says the form in words."""

    pattern: str = r"\S"
    form: str = "text that is not empty"

    def read(self, value: object, place: Place) -> str:
        """See :class:`Leaf`."""
        if not isinstance(value, str):
            hint = f"; put it in quotes: '{value}'" if isinstance(value, int | float) else ""
            raise place.error(f"expected {self.form}, found {_what(value)}{hint}")
        if re.search(self.pattern, value) is None:
            raise place.error(f"expected {self.form}, found {value!r}")
        return value

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"type": "string", "pattern": self.pattern}


@dataclass(frozen=True)
class Hex(Leaf):
    """Hexadecimal digits in quotes, of one of the given lengths, as a number."""

    digits: tuple[int, ...]

    def _text(self) -> Text:
        pattern = "^(" + "|".join(f"[0-9A-F]{{{count}}}" for count in self.digits) + ")$"
        return Text(pattern, f"{' or '.join(map(str, self.digits))} hexadecimal digits in quotes, capital letters")

    def read(self, value: object, place: Place) -> int:
        """See :class:`Leaf`."""
        return int(self._text().read(value, place), 16)

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return self._text().json_schema()


@dataclass(frozen=True)
class HexBytes(Leaf):
    """Bytes as hexadecimal digits in quotes; spaces between bytes are allowed."""

    _text = Text(r"^[0-9A-F]{2}( ?[0-9A-F]{2})*$", "bytes as hexadecimal digits in quotes, capital letters")

    def read(self, value: object, place: Place) -> bytes:
        """See :class:`Leaf`."""
        return bytes.fromhex(self._text.read(value, place))

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return self._text.json_schema()


@dataclass(frozen=True)
class Choice(Leaf):
    """One of the given words."""

    options: tuple[str, ...]

    def read(self, value: object, place: Place) -> str:
        """See :class:`Leaf`."""
        if isinstance(value, str) and value in self.options:
            return value
        if isinstance(value, int) and str(value) in self.options:
            raise place.error(f"expected one of {', '.join(self.options)}; put it in quotes: '{value}'")
        if isinstance(value, str) and len(self.options) > 8:
            raise place.error(f"unknown word {value!r}{nearest(value, self.options)}")
        hint = nearest(value, self.options) if isinstance(value, str) else ""
        raise place.error(f"expected one of {', '.join(self.options)}, found {value!r}{hint}")

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"enum": list(self.options)}


@dataclass(frozen=True)
class Number(Leaf):
    """A number between two bounds, inclusive; whole where ``whole`` says so. ``unit`` is named in errors."""

    minimum: float
    maximum: float
    unit: str = ""
    whole: bool = False

    def read(self, value: object, place: Place) -> float:
        """See :class:`Leaf`."""
        kind = "a whole number" if self.whole else "a number"
        unit = f" {self.unit}" if self.unit else ""
        expected = f"expected {kind} from {_plain(self.minimum)} to {_plain(self.maximum)}{unit}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise place.error(f"{expected}, found {_what(value)}")
        if not self.minimum <= value <= self.maximum or (self.whole and value != int(value)):
            raise place.error(f"{expected}, found {value}")
        return int(value) if self.whole else value

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"type": "integer" if self.whole else "number", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Flag(Leaf):
    """True or false."""

    def read(self, value: object, place: Place) -> bool:
        """See :class:`Leaf`."""
        if not isinstance(value, bool):
            raise place.error(f"expected true or false, found {value!r}")
        return value

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Ratio(Leaf):
    """An exact factor or offset: a number or a fraction such as ``100/255``."""

    def read(self, value: object, place: Place) -> Fraction:
        """See :class:`Leaf`."""
        if isinstance(value, str) and re.search(_RATIO, value):
            numerator, _, denominator = value.partition("/")
            return Fraction(numerator) / Fraction(denominator or "1")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise place.error(f"expected a number or a fraction such as 100/255, found {value!r}")
        try:
            return Fraction(str(value))  # the decimal as written, not its nearest binary value
        except ValueError:
            raise place.error(f"expected a finite number, found {value}") from None

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _RATIO}]}


@dataclass(frozen=True)
class Duration(Leaf):
    """A time with its unit (``200ms``, ``5s``, ``10min``, ``2h``, ``1d``), in seconds."""

    def read(self, value: object, place: Place) -> float:
        """See :class:`Leaf`."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise place.error(f"{value} has no unit, did you mean '{value}s'?")
        match = _DURATION.match(value) if isinstance(value, str) else None
        if match is None:
            raise place.error(f"expected a time such as 200ms, 5s, 10min, 2h or 1d, found {value!r}")
        return float(match[1]) * _SECONDS[match[2]]

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"type": "string", "pattern": _DURATION.pattern}


@dataclass(frozen=True)
class ListOf:
    """A list of one kind. ``by`` is the key that names an item: a file that extends another changes items by it."""

    kind: Kind
    by: str = ""

    def check(self, value: object, place: Place, *, partial: bool) -> tuple[object, ...]:
        """See :class:`Kind`."""
        if not isinstance(value, list):
            raise place.error(f"expected a list (lines beginning with '- '), found {_what(value)}")
        return tuple(
            self.kind.check(item, place.item(self.label(item, index)), partial=partial)
            for index, item in enumerate(value)
        )

    def label(self, item: object, index: int) -> str:
        """How errors call the item: its name where it has one, else its number from 0."""
        name = item.get(self.by) if isinstance(item, dict) else None
        return name if isinstance(name, str) else str(index)

    def schema(self, *, partial: bool) -> dict[str, object]:
        """See :class:`Kind`."""
        return {"type": "array", "items": self.kind.schema(partial=partial)}


@dataclass(frozen=True)
class Table:
    """A mapping of free keys (snake_case) to one kind."""

    kind: Kind

    def check(self, value: object, place: Place, *, partial: bool) -> dict[str, object]:
        """See :class:`Kind`."""
        if not isinstance(value, dict):
            raise place.error(f"expected a mapping, found {_what(value)}")
        for name in value:
            if not isinstance(name, str) or re.search(r"^[a-z][a-z0-9_]*$", name) is None:
                raise place.error(f"key {name!r}: use small letters, digits and '_', starting with a letter")
        return {name: self.kind.check(item, place.key(name), partial=partial) for name, item in value.items()}

    def schema(self, *, partial: bool) -> dict[str, object]:
        """See :class:`Kind`."""
        return {
            "type": "object",
            "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
            "additionalProperties": self.kind.schema(partial=partial),
        }


@dataclass(frozen=True)
class Value(Leaf):
    """A single value: text, number, true or false."""

    def read(self, value: object, place: Place) -> str | int | float | bool:
        """See :class:`Leaf`."""
        if isinstance(value, str | int | float | bool):
            return value
        raise place.error(f"expected text, a number, true or false, found {_what(value)}")

    def json_schema(self) -> dict[str, object]:
        """See :class:`Leaf`."""
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True)
class Key:
    """A key of a mapping: what it holds, what it means, and whether it must stand there.

    ``inherited``: it must be there, but a file that extends another may leave it to that one. ``deprecated``: still
    accepted, but without effect; ``meaning`` says what took its place.
    """

    kind: Kind
    meaning: str
    required: bool = False
    inherited: bool = False
    deprecated: bool = False


@dataclass(frozen=True)
class Record:
    """A mapping with known keys."""

    keys: Mapping[str, Key]

    def required(self, *, partial: bool) -> list[str]:
        """Keys that must stand in the file."""
        return [name for name, key in self.keys.items() if key.required or (key.inherited and not partial)]

    def check(self, value: object, place: Place, *, partial: bool) -> dict[str, object]:
        """See :class:`Kind`."""
        if not isinstance(value, dict):
            raise place.error(f"expected a mapping with the keys {', '.join(self.keys)}, found {_what(value)}")
        for name in value:
            if name not in self.keys:
                raise place.error(f"unknown key {name!r}{nearest(str(name), self.keys)}")
        for name in self.required(partial=partial):
            if name not in value:
                raise place.error(f"key {name!r} is missing: {self.keys[name].meaning}")
        return {
            name: self.keys[name].kind.check(item, place.key(name), partial=partial) for name, item in value.items()
        }

    def schema(self, *, partial: bool) -> dict[str, object]:
        """See :class:`Kind`."""
        properties = {
            name: {
                "description": key.meaning,
                **({"deprecated": True} if key.deprecated else {}),
                **key.kind.schema(partial=partial),
            }
            for name, key in self.keys.items()
        }
        required = self.required(partial=partial)
        return {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            **({"required": required} if required else {}),
        }
