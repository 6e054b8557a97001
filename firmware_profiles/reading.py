"""YAML from a file, strictly: a key that stands twice is refused, and errors say file and line."""

from collections.abc import Hashable
from pathlib import Path
from typing import cast

import yaml

from firmware_profiles.errors import ProfileError


class _Strict(yaml.constructor.SafeConstructor):
    """Safe construction, but a key that stands twice is an error: the second would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Mapping of distinct keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _StrictLoader(_Strict, yaml.SafeLoader):
    """Slow, and clear about what is wrong."""


# libyaml is several times faster, which a dongle that loads every profile notices; not every build of PyYAML has it.
_FAST_LOADER: type[yaml.SafeLoader] = _StrictLoader
if yaml.__with_libyaml__:

    class _StrictCLoader(_Strict, yaml.CSafeLoader):
        """Fast."""

    _FAST_LOADER = cast("type[yaml.SafeLoader]", _StrictCLoader)


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in the file; ProfileError where it cannot be read or is none."""
    try:
        document = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProfileError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ProfileError(f"{path.name}: {line}{error.problem}") from error
    if not isinstance(document, dict):
        raise ProfileError(f"{path.name}: expected a mapping of keys; begin with 'name: {path.stem}'")
    return cast("dict[str, object]", document)


def _parsed(text: str) -> object:
    try:
        return yaml.load(text, Loader=_FAST_LOADER)  # noqa: S506 - constructs as SafeLoader does
    except yaml.MarkedYAMLError:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - as above; its message is the one people get
