"""Masks: enough to tell two apart, and never the value itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.personal.mask import mask_channel, mask_email, mask_name, mask_phone, mask_position, mask_vin


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada Beispiel", "A. B."),
        ("ada", "A."),
        ("José  María de la Cruz", "J. M. D. L. C."),
        ("王小明", "王**"),
        ("王明", "王*"),
        ("欧阳娜娜", "欧阳**"),
        ("欧阳", "欧*"),
        ("王 小明", "王**"),
        ("阿卜杜拉·买买提", "阿******"),
        ("", "…"),
        ("😀", "…"),
        ("👨‍👩‍👧 Ada", "A."),
        ("\x1b[31mAda", "3."),
        ("\u202e", "…"),
        ("+49 170 1234567", "4. 1. 1."),
        ("w " * 500, "W. W. W. W. W. W."),
        ("王" * 500, "王******"),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert mask_name(name) == shown


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ada@example.org", "a…@….org"),
        ("王@例子.公司", "王…@….公司"),
        ("a@localhost", "a…@…"),
        ("nonsense", "…"),
        ("\x1b[2J@example.org", "…"),
    ],
)
def test_mail_addresses(email: str, shown: str) -> None:
    assert mask_email(email) == shown


@pytest.mark.parametrize(("phone", "shown"), [("+49 170 1234567", "…67"), ("13800138000", "…00"), ("112", "…")])
def test_phone_numbers(phone: str, shown: str) -> None:
    assert mask_phone(phone) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("tgram://123456:ABC-token/987654321", "tgram://…"),
        ("mail://ada@example.org", "mail://…"),
        ("+491701234567", "…"),
        ("json://[::1", "json://…"),
    ],
)
def test_channels(url: str, shown: str) -> None:
    assert mask_channel(url) == shown


def test_vins() -> None:
    assert mask_vin("WVWZZZ6RZHY123456") == "…123456"
    assert mask_vin("123456") == "…"


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_position_is_a_town_and_not_a_street(latitude: float, longitude: float) -> None:
    shown = mask_position(latitude, longitude)
    assert abs(shown[0] - latitude) <= 0.05 + 1e-9
    assert abs(shown[1] - longitude) <= 0.05 + 1e-9
    assert all(round(value * 10) == pytest.approx(value * 10) for value in shown)


@given(st.text())
def test_a_name_of_more_than_its_initials_is_never_shown(name: str) -> None:
    shown = mask_name(name)
    for word in name.split():
        if len(word) > 2 and "·" not in word:
            assert word not in shown
