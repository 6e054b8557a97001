"""Sign-in links, sessions and form tokens: what opens, for how long, and what does not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from portal.access import (
    LINK_LIFETIME,
    Identity,
    form_token,
    form_token_is_good,
    new_session,
    read_session,
    read_signin_token,
    session_cookie,
    signin_token,
    signin_url,
)
from portal.config import PortalConfig
from portal.errors import LinkExpiredError, LinkInvalidError, PortalConfigError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = "s" * 32


def test_a_link_signs_in_whom_it_was_made_for() -> None:
    owner = uuid4()
    assert read_signin_token(SECRET, signin_token(SECRET, "owner", owner, NOW), NOW) == Identity(
        role="owner", subject_id=owner
    )
    engineer = read_signin_token(SECRET, signin_token(SECRET, "engineer", None, NOW), NOW)
    assert engineer == Identity(role="engineer", subject_id=None)


def test_a_link_works_for_its_lifetime_and_no_longer() -> None:
    token = signin_token(SECRET, "engineer", None, NOW)
    read_signin_token(SECRET, token, NOW + LINK_LIFETIME - timedelta(seconds=1))
    with pytest.raises(LinkExpiredError):
        read_signin_token(SECRET, token, NOW + LINK_LIFETIME)


@pytest.mark.parametrize(
    "spoil", [lambda token: token[:-2], lambda token: "x" + token, lambda _: "", lambda _: "a.b.c"]
)
def test_a_damaged_link_opens_nothing(spoil: Callable[[str], str]) -> None:
    with pytest.raises(LinkInvalidError):
        read_signin_token(SECRET, spoil(signin_token(SECRET, "engineer", None, NOW)), NOW)


def test_another_secret_or_purpose_opens_nothing() -> None:
    with pytest.raises(LinkInvalidError):
        read_signin_token("t" * 32, signin_token(SECRET, "engineer", None, NOW), NOW)
    cookie = session_cookie(SECRET, new_session(Identity(role="engineer", subject_id=None), NOW))
    with pytest.raises(LinkInvalidError):
        read_signin_token(SECRET, cookie, NOW)
    assert read_session(SECRET, signin_token(SECRET, "engineer", None, NOW), NOW) is None


def test_an_owner_without_a_number_and_an_engineer_with_one_are_refused() -> None:
    with pytest.raises(PortalConfigError):
        signin_token(SECRET, "owner", None, NOW)
    with pytest.raises(PortalConfigError):
        signin_token(SECRET, "engineer", uuid4(), NOW)


def test_a_session_survives_the_cookie_and_ends() -> None:
    session = new_session(Identity(role="workshop", subject_id=uuid4()), NOW)
    cookie = session_cookie(SECRET, session)
    assert read_session(SECRET, cookie, NOW) == session
    assert read_session(SECRET, cookie, session.expires_at) is None
    assert read_session(SECRET, cookie + "x", NOW) is None
    assert read_session(SECRET, None, NOW) is None


def test_a_form_belongs_to_one_session() -> None:
    mine, other = new_session(None, NOW), new_session(None, NOW)
    assert form_token_is_good(SECRET, mine, form_token(SECRET, mine))
    assert not form_token_is_good(SECRET, other, form_token(SECRET, mine))
    assert not form_token_is_good(SECRET, mine, "")
    assert not form_token_is_good(SECRET, mine, "ü")
    assert not form_token_is_good(SECRET, None, form_token(SECRET, mine))


def test_the_links_address_carries_nobodys_data() -> None:
    url = signin_url("https://cars.example.org", SECRET, "engineer", None, NOW)
    assert url.startswith("https://cars.example.org/signin?token=")


def test_a_short_secret_or_an_unusable_address_is_refused() -> None:
    with pytest.raises(PortalConfigError, match="secret"):
        PortalConfig(database_url="", secret="s" * 31, portal_url="http://127.0.0.1:8080")
    with pytest.raises(PortalConfigError, match="portal_url"):
        PortalConfig(database_url="", secret=SECRET, portal_url="http://127.0.0.1:8080/")


def test_settings_can_be_logged_and_cookies_follow_the_address() -> None:
    config = PortalConfig(database_url="postgresql://u:pw@h/d", secret=SECRET, portal_url="https://cars.example.org")
    assert "pw" not in repr(config)
    assert SECRET not in repr(config)
    assert config.cookies_are_secure
