"""A clock put right, seen from an estimator: its state with the times it should have had.

Estimators keep times so that they know what is old; one that was fed times from the future would take all that
comes later for old. Their states are plain JSON, so this needs to know no estimator: times are RFC 3339 texts, and
integers in fields named ``day``, ``hour`` or ``…_day``, ``…_hour`` count days and hours since 1970-01-01 UTC.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from health.estimator import Json

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")
_COUNTS: Final = {"day": timedelta(days=1), "hour": timedelta(hours=1)}


def retimed(state: Json, moved: Callable[[datetime], datetime]) -> Json:
    """The state with every time in it moved."""
    return cast("Json", _retimed(state, "", moved))


def _retimed(value: object, name: str, moved: Callable[[datetime], datetime]) -> object:
    if isinstance(value, dict):
        return {key: _retimed(entry, key, moved) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_retimed(entry, name, moved) for entry in value]
    if isinstance(value, str) and _TIME.fullmatch(value):
        return moved(datetime.fromisoformat(value)).isoformat()
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        unit = next((unit for suffix, unit in _COUNTS.items() if name == suffix or name.endswith(f"_{suffix}")), None)
        if unit is not None:
            before = _EPOCH + value * unit
            return value + round((moved(before) - before) / unit)
    return value
