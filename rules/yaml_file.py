"""Small readers shared by the YAML files of this package; each error names file, path and the nearest key."""

import re
from collections.abc import Hashable, Mapping
from datetime import timedelta
from typing import Any, cast

import yaml

from rules.errors import RuleError
from rules.expression import nearest

LANGUAGES = ("en", "zh")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that stands twice (YAML itself would keep the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_yaml(text: str, file: str) -> object:
    """Document of a YAML text; RuleError with line and column where it is none."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, see its class
    except yaml.YAMLError as error:
        raise RuleError(f"{file}: not YAML: {error}") from error


def section(value: object, where: str, *, allowed: set[str], required: set[str]) -> Mapping[str, object]:
    """A mapping with these keys and no others."""
    if not isinstance(value, dict):
        raise RuleError(f"{where}: expected a mapping with the keys {', '.join(sorted(required))}")
    for key in value:
        if key not in allowed:
            raise RuleError(f"{where}: unknown key {key!r}{nearest(str(key), allowed)}")
    missing = required - set(value)
    if missing:
        raise RuleError(f"{where}: key {min(missing)!r} is missing")
    return cast("Mapping[str, object]", value)


def localized(value: object, where: str) -> Mapping[str, str]:
    """A text in each language."""
    texts = section(value, where, allowed=set(LANGUAGES), required=set(LANGUAGES))
    for language, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise RuleError(f"{where}.{language}: expected a text that is not empty")
    return {language: str(text).strip() for language, text in texts.items()}


def duration(value: object, where: str) -> timedelta:
    """A duration such as "10min"; a bare number is refused, because its unit is not known."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise RuleError(f"{where}: {value!r} is no duration; write for example '10min' or '14d'")
    number, unit = match.groups()
    if not unit:
        raise RuleError(f"{where}: {value!r} has no unit; did you mean '{number}s' or '{number}d'?")
    if unit not in _SECONDS:
        raise RuleError(f"{where}: unknown unit {unit!r}; use one of {', '.join(_SECONDS)}")
    return timedelta(seconds=float(number) * _SECONDS[unit])
