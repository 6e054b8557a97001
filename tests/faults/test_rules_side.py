"""The workshop's day has just begun, whenever a run begins."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.faults.rules_side import zone_of_midnight


@pytest.mark.parametrize("hour", range(24))
def test_it_is_the_first_hour_of_the_day_there(hour: int) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=59)
    assert now.astimezone(ZoneInfo(zone_of_midnight(now))).hour == 0
