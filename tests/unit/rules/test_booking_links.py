from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.booking.errors import BookingError, LinkTooOldError
from rules.booking.links import LINK_LIFETIME, offer_token, read_offer_token

SECRET = "sixteen letters and more"  # noqa: S105 - of this test alone
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # whatever the machine's clock says
SECOND = timedelta(seconds=1)


def test_a_token_gives_its_booking_back() -> None:
    booking_id = uuid4()
    token = offer_token(SECRET, booking_id, NOW)
    assert read_offer_token(SECRET, token, NOW) == booking_id
    assert token.replace("-", "").replace("_", "").replace(".", "").isalnum()  # stands in a path as it is


def test_another_secret_opens_nothing() -> None:
    with pytest.raises(BookingError, match="not complete"):
        read_offer_token(SECRET, offer_token("another secret of that length", uuid4(), NOW), NOW)


def test_an_old_token_is_refused() -> None:
    token = offer_token(SECRET, uuid4(), NOW)
    read_offer_token(SECRET, token, NOW + LINK_LIFETIME)
    with pytest.raises(LinkTooOldError):
        read_offer_token(SECRET, token, NOW + LINK_LIFETIME + SECOND)


def test_a_token_made_by_a_clock_that_is_ahead_of_ours_is_good() -> None:
    booking_id = uuid4()
    assert read_offer_token(SECRET, offer_token(SECRET, booking_id, NOW + SECOND), NOW) == booking_id


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(BookingError, match="shorter than 16"):
        offer_token("short", uuid4(), NOW)


@given(st.text())
def test_no_text_opens_anything(text: str) -> None:
    with pytest.raises(BookingError):
        read_offer_token(SECRET, text, NOW)
