"""An owner from a file: a command line is seen by every user of the machine, and kept by the shell."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wearcast.settings import SettingsError

_FIELDS: Final = ("name", "email", "notify", "position")


@dataclass(frozen=True, kw_only=True)
class OwnerData:
    """What is sealed of an owner."""

    name: str = field(repr=False)
    email: str | None = field(default=None, repr=False)
    notify: tuple[str, ...] = field(default=(), repr=False)
    position: tuple[float, float] | None = field(default=None, repr=False)  # degrees WGS 84


def read_owner(text: str) -> OwnerData:
    """The owner of a JSON object. SettingsError, which repeats nothing of it."""
    try:
        content = json.loads(text)
        unknown = sorted(set(content) - set(_FIELDS))
        if unknown:
            raise SettingsError(f"the owner's file has {len(unknown)} fields that are none of {', '.join(_FIELDS)}")
        return _owner(content)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SettingsError(
            'the owner\'s file is not like {"name": "…", "email": "…", "notify": ["…"], "position": [52.5, 13.4]};'
            " all but the name may be left out"
        ) from None


def _owner(content: Mapping[str, Any]) -> OwnerData:
    name, email, notify = content["name"], content.get("email"), content.get("notify", [])
    if not isinstance(name, str) or not isinstance(email, str | None) or not isinstance(notify, list):
        raise TypeError
    if not all(isinstance(address, str) for address in notify):
        raise TypeError
    position = content.get("position")
    if position is not None:
        latitude, longitude = position
        position = (float(latitude), float(longitude))
    return OwnerData(name=name, email=email, notify=tuple(notify), position=position)
