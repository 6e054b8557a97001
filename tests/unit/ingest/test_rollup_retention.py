"""Retention: what the setting says, and what is refused because it would lose what is counted on."""

import pytest

from ingest.errors import RetentionError
from ingest.rollups.retention import Retention, parse_retention


def test_what_is_not_named_keeps_its_default() -> None:
    assert parse_retention("") == Retention()
    assert parse_retention("reading=30d, rejected_message=7d") == Retention(reading=30, rejected_message=7)
    assert parse_retention("rollup_hour=forever").rollup_hour is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reading=90", "write it as reading=90d"),
        ("reading", "write it as reading=90d"),
        ("reading=-3d", "write it as reading=90d"),
        ("readings=9d", "did you mean 'reading'"),
        ("owner=9d", "there are reading, estimate"),
        ("reading=0d", "at least 1d"),
        ("reading=800d", "rollup_hour is 730d, that of reading 800d: keep it as long"),
        ("reading=forever", "rollup_hour is 730d, that of reading forever"),
        ("rollup_day=700d", "rollup_day is 700d, that of rollup_hour 730d"),
        ("batch=30d", "tells which batches are stored already"),
    ],
)
def test_what_would_lose_data_or_is_not_understood_is_refused(text: str, message: str) -> None:
    with pytest.raises(RetentionError, match=message):
        parse_retention(text)
