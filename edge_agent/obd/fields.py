"""Plain data (YAML, JSON) taken apart with errors that name the place in it and the nearest key."""

import difflib
from collections.abc import Iterator, Mapping
from fractions import Fraction

from edge_agent.errors import ConfigurationError


class Fields:
    """The keys of one mapping, taken one by one; :meth:`done` refuses what nobody asked for."""

    def __init__(self, document: object, where: str) -> None:
        if not isinstance(document, Mapping):
            raise ConfigurationError(f"{where}: expected keys and values, found {type(document).__name__}")
        self.where = where
        self._document: Mapping[object, object] = document
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return self._document.get(key) is not None

    def raw(self, key: str) -> object:
        """Whatever stands there, or None."""
        self._known.append(key)
        return self._document.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; without default it must be there."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, value, "a text")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; hexadecimal as 0x7E0 or "0x7E0"."""
        value = self.optional_integer(key)
        if value is None:
            value = default
        if value is None:
            raise self._wrong(key, None, "a whole number")
        return value

    def optional_integer(self, key: str) -> int | None:
        """A whole number or None."""
        value = self.raw(key)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                return int(value, 0)
            except ValueError:
                raise self._wrong(key, value, "a whole number") from None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, value, "a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Give a number."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        return float(value)

    def fraction(self, key: str, default: Fraction) -> Fraction:
        """Give an exact number: 0.5, or a quotient as "100/255"."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self._wrong(key, value, "a number or a quotient as '100/255'")
        try:
            return Fraction(str(value).replace(" ", ""))
        except (ValueError, ZeroDivisionError):
            raise self._wrong(key, value, "a number or a quotient as '100/255'") from None

    def boolean(self, key: str, *, default: bool) -> bool:
        """Give true or false."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def mapping(self, key: str) -> "Fields":
        """Nested keys; empty where there are none."""
        value = self.raw(key)
        return Fields({} if value is None else value, f"{self.where}.{key}")

    def items(self, key: str) -> Iterator[tuple[Mapping[str, object], str]]:
        """Mappings of a list, each with its place; empty where there is none."""
        value = self.raw(key)
        if value is None:
            return
        if not isinstance(value, list | tuple):
            raise self._wrong(key, value, "a list")
        for index, item in enumerate(value):
            place = f"{self.where}.{key}[{index}]"
            if not isinstance(item, Mapping):
                raise ConfigurationError(f"{place}: expected keys and values, found {type(item).__name__}")
            yield item, place

    def rest(self) -> dict[str, object]:
        """Take all keys nobody asked for."""
        taken = {str(key): value for key, value in self._document.items() if key not in self._known}
        self._known.extend(taken)
        return taken

    def done(self) -> None:
        """Refuse keys nobody asked for."""
        for key in self._document:
            if key not in self._known:
                close = difflib.get_close_matches(str(key), self._known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(self._known)}"
                raise ConfigurationError(f"{self.where}: unknown key {key!r}{hint}")

    def _wrong(self, key: str, value: object, expected: str) -> ConfigurationError:
        if value is None:
            return ConfigurationError(f"{self.where}: {key!r} is missing; give {expected}")
        return ConfigurationError(f"{self.where}.{key}: {value!r} is not {expected}")
