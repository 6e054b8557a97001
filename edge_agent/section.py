"""Reading YAML sections with errors a person can act on: file, path, what is wrong, nearest key."""

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

import yaml

from edge_agent.errors import ConfigurationError

_T = TypeVar("_T")
_DURATIONS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}  # seconds
_SIZES = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}  # bytes
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class Section:
    """A mapping of a configuration file, read key by key; :meth:`done` refuses the keys nobody asked for.

    ``where`` is what errors begin with, e.g. ``agent.yaml: source``. Paths are relative to the file's folder.
    """

    def __init__(self, content: Mapping[str, object], *, where: str, folder: Path) -> None:
        self._content = content
        self.where = where
        self.folder = folder
        self._asked: list[str] = []

    @classmethod
    def load(cls, path: Path) -> "Section":
        """The mapping in a YAML file."""
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path}: is not YAML: {error}") from error
        if not isinstance(document, Mapping):
            raise ConfigurationError(f"{path}: a mapping is expected, 'device: …' and so on")
        return cls(document, where=str(path), folder=path.parent)

    def error(self, key: str, text: str) -> ConfigurationError:
        """An error at a key of this section."""
        return ConfigurationError(f"{self._at(key)}: {text}")

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        self._asked.append(key)
        return self._content.get(key) is not None

    def says(self, key: str, word: str) -> bool:
        """Whether that word stands there; for keys that otherwise hold something else than a text."""
        self._asked.append(key)
        return self._content.get(key) == word

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required if there is no default."""
        return self._get(key, str, "a text", default)

    def integer(self, key: str, default: int | None = None, *, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        """A whole number within bounds."""
        value = self._get(key, int, "a whole number", default)
        if isinstance(value, bool) or not minimum <= value <= maximum:
            raise self.error(key, f"{value!r} is not a whole number from {minimum} to {maximum}")
        return value

    def number(self, key: str, default: float | None = None, *, minimum: float = float("-inf")) -> float:
        """A number without unit."""
        value = self._get(key, (int, float), "a number", default)
        if isinstance(value, bool) or not value >= minimum:
            raise self.error(key, f"{value!r} is not a number of at least {minimum}")
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """True or false."""
        self._asked.append(key)
        value = self._content.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false")
        return default if value is None else value

    def duration(self, key: str, default: float | None = None) -> float:
        """Seconds of ``10s``, ``500ms``, ``5 min``, ``6h``; a bare number is refused."""
        return self._quantity(key, _DURATIONS, "5s", default)

    def size(self, key: str, default: int | None = None) -> int:
        """Bytes of ``200 MB``; a bare number is refused."""
        return round(self._quantity(key, _SIZES, "5 MB", default))

    def path(self, key: str, default: Path | None = None) -> Path:
        """A path, relative to the file's folder."""
        if default is not None and not self.has(key):
            return default
        return self.folder / self._get(key, str, "a path", None)

    def moment(self, key: str) -> datetime:
        """A time with its zone, RFC 3339."""
        given: object = self._get(key, (str, datetime), "a time such as 2026-01-31T08:00:00Z", None)
        try:
            value = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
        except ValueError:
            raise self.error(key, f"{given!r} is not a time; write it as 2026-01-31T08:00:00Z") from None
        if value.tzinfo is None:
            raise self.error(key, f"{value.isoformat()} has no time zone; did you mean '{value.isoformat()}Z'?")
        return value.astimezone(UTC)

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of some words."""
        value = self.text(key, default)
        if value not in choices:
            raise self.error(key, f"{value!r} is none of {', '.join(choices)}{nearest(value, choices)}")
        return value

    def choices(self, key: str, choices: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
        """Any number of some words, as a list."""
        entries = self._get(key, list, "a list", list(default))
        for entry in entries:
            if entry not in choices:
                raise self.error(key, f"{entry!r} is none of {', '.join(choices)}{nearest(str(entry), choices)}")
        return tuple(entries)

    def section(self, key: str, *, optional: bool = False) -> "Section":
        """A section within; an empty one if it may be absent."""
        value = self._get(key, cast("type[Mapping[str, object]]", Mapping), "a section", {} if optional else None)
        return Section(value, where=self._at(key), folder=self.folder)

    def mapping(self, key: str) -> dict[str, object]:
        """A mapping whose keys are data."""
        value = self._get(key, cast("type[Mapping[object, object]]", Mapping), "a mapping", None)
        return {str(name): content for name, content in value.items()}

    def sections(self, key: str) -> list["Section"]:
        """A list of sections."""
        entries = self._get(key, list, "a list", None)
        found = []
        for index, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                raise self.error(f"{key}[{index}]", "a mapping is expected")
            found.append(Section(entry, where=self._at(f"{key}[{index}]"), folder=self.folder))
        return found

    def done(self) -> None:
        """Refuse what was not asked for, naming the nearest key."""
        for key in self._content:
            if key not in self._asked:
                raise self.error(str(key), f"unknown key{nearest(str(key), self._asked)}")

    def _get(self, key: str, kind: type[_T] | tuple[type[_T], ...], what: str, default: _T | None) -> _T:
        self._asked.append(key)
        value = self._content.get(key)
        if value is None:
            if default is None:
                close = nearest(key, [other for other in map(str, self._content) if other not in self._asked], "it")
                raise self.error(key, f"is missing; {what} is expected{close}")
            return default
        if not isinstance(value, kind):
            raise self.error(key, f"{value!r} is not {what}")
        return value

    def _quantity(self, key: str, units: Mapping[str, float], example: str, default: float | None) -> float:
        self._asked.append(key)
        value = self._content.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool):
            unit = re.sub(r"[\d. ]", "", example)
            raise self.error(key, f"no unit, did you mean '{value}{unit}'?")
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[2] not in units:
            raise self.error(key, f"{value!r} is no quantity such as '{example}'; units: {', '.join(units)}")
        return float(match[1]) * units[match[2]]

    def _at(self, key: str) -> str:
        return f"{self.where}.{key}" if ": " in self.where else f"{self.where}: {key}"


def nearest(word: str, words: list[str] | tuple[str, ...], what: str = "") -> str:
    """`` did you mean …?`` with the nearest word, or nothing."""
    close = difflib.get_close_matches(word, words, n=1)
    if not close:
        return ""
    return f"; is {what} written {close[0]!r}?" if what else f"; did you mean {close[0]!r}?"
